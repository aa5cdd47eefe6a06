"""A result from the predictions for the views of a picture."""

import numpy as np
import torch

from errseg.data.vocabularies import Vocabulary
from errseg.modeling.prediction import ViewPrediction, labels_and_confidences

from .choice import Choice
from .proposals import proposals_of
from .result import KeptName, Result

__all__ = ["kept_names", "result_of"]


def result_of(
    choice: Choice, image: np.ndarray, views: list[ViewPrediction], source: str | None = None, proposals: bool = False
) -> Result:
    """The result of a picture.

    Args:
        choice: the names that the views were predicted with.
        image: (H, W, 3) uint8 RGB.
        views: the predictions; with ``proposals``, they show "masks" and "classes".
        source: path of the picture.
        proposals: whether the result has proposals.
    """
    size = image.shape[0], image.shape[1]
    labels, scores = labels_and_confidences(views, size)
    labels = labels.cpu()
    for rows in labels.split(1024):  # in place, so that the label map of a large picture is not copied
        rows.copy_(choice.classes[rows])
    names, kept = choice.vocabulary.classes, kept_names(choice.vocabulary, views)
    seen = proposals_of(choice.vocabulary, views, size) if proposals else None
    return Result(image, labels.numpy(), scores.cpu().numpy(), names, kept, source, seen)


def kept_names(vocabulary: Vocabulary, views: list[ViewPrediction]) -> list[KeptName]:
    """The names that the system kept for a picture, best first; without a ranking, in the vocabulary's order."""
    ids = torch.cat([view.kept for view in views]).unique()
    if "ranking" not in views[0].shown:
        owners = dict.fromkeys(vocabulary.prompt_classes[index] for index in ids.tolist())
        return [KeptName(vocabulary.classes[owner], None) for owner in owners]
    points = torch.stack([view.shown["ranking"] for view in views]).mean(0)
    best: dict[int, float] = {}
    for index, score in zip(ids.tolist(), points[ids].tolist(), strict=True):
        owner = vocabulary.prompt_classes[index]
        best[owner] = max(best.get(owner, 0.0), score)
    order = sorted(best.items(), key=lambda item: -item[1])
    return [KeptName(vocabulary.classes[index], score) for index, score in order]
