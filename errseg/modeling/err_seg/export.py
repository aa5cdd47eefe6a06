"""ERR-Seg for the export: without the text tower, and with a CRM that takes any number of names.

Shapes: B images, T names, K names kept, H x W locations at stride 16.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import with_module
from .crm import CRM


class AnyNumberCRM(nn.Module):
    """CRM for a number of names that is unknown at tracing: keeps the K best, or all where T <= K.

    Args:
        crm: the CRM that it replaces.
    """

    def __init__(self, crm: CRM):
        super().__init__()
        self.crm = crm

    def forward(self, cost_map: Tensor, num_kept: int, present: Tensor | None = None) -> Tensor:
        """(B, T, H, W) -> (B, min(K, T)) int64 ids, ascending."""
        spare = self.crm.top_categories  # extra classes of the lowest rank: every location then has enough
        scores = self.crm.scores(F.pad(cost_map, (0, 0, 0, 0, 0, spare), value=-2.0))[:, : cost_map.shape[1]]
        place = scores.sort(dim=1, descending=True, stable=True).indices.argsort(dim=1)  # place of a class, 0 the best
        # Unlike a slice, topk is traced for T <= K and T > K at once
        best = place.topk(torch.sym_min(num_kept, cost_map.shape[1]), dim=1, largest=False)
        return best.indices.sort(dim=1).values


def exportable(model: Any, open_vocabulary: bool) -> nn.Module:
    """A shallow copy of an ERR-Seg that can be traced. It shares the weights; the model itself does not change.

    Args:
        model: an ERR-Seg.
        open_vocabulary: the number of names is unknown when the model is traced.
    """
    clip = nn.Module()
    clip.visual = model.backbone.clip.visual
    other = with_module(model, "backbone", with_module(model.backbone, "clip", clip))
    crm = model.sem_seg_head.crm
    if open_vocabulary and isinstance(crm, CRM):
        head = with_module(model.sem_seg_head, "crm", AnyNumberCRM(crm))
        other = with_module(other, "sem_seg_head", head)
    return other
