"""What a report measures in ERR-Seg: how many of an image's names CRM keeps."""

import torch
from torch import Tensor

from ..segmenter import OpenVocabularySegmenter

__all__ = ["MEASURES", "crm_recall"]


@torch.no_grad()
def crm_recall(model: OpenVocabularySegmenter, inputs: dict, labels: Tensor) -> tuple[int, int]:
    """The number of names in the labels (H, W) that CRM keeps in any view, and the number of names in the labels."""
    [views] = model.predict_views([inputs])
    kept = torch.cat([view.kept for view in views]).unique().cpu()
    present = labels.unique()
    present = present[present >= 0]
    return int(torch.isin(present, kept).sum()), len(present)


MEASURES = {"CRM's recall": crm_recall}
