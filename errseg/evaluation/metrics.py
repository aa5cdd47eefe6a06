"""The scores of semantic segmentation, from one confusion matrix.

Shapes: N classes. A matrix is (N + 1, N + 1) int64, as in Detectron2's ``SemSegEvaluator``: a row is a predicted class,
a column a true class. The last row and the last column are the ignored pixels.
"""

from typing import NamedTuple

import numpy as np

__all__ = ["SCORES", "Confusion", "Scores", "scores_of", "worst_confusions"]

SCORES = ("mIoU", "fwIoU", "mACC", "pACC")  # percent


class Scores(NamedTuple):
    """The usual scores of the field, in percent; nan where no label map has the class, or where no pixel counts."""

    mIoU: float  # over the classes of the ground truth
    fwIoU: float  # the same, weighted by the pixels of each class
    mACC: float
    pACC: float
    iou: np.ndarray  # (N,)
    acc: np.ndarray  # (N,)
    pixels: np.ndarray  # (N,) of the ground truth


class Confusion(NamedTuple):
    """Pixels of one class that are predicted as another."""

    true: int
    predicted: int
    pixels: int
    share: float  # of the true class's pixels, in percent


def scores_of(matrix: np.ndarray) -> Scores:
    """The scores of a confusion matrix, by the formulas of Detectron2's evaluator.

    An ignored pixel counts neither as a prediction nor as truth. A class without a true pixel does not count in a mean,
    but its predictions are errors of other classes.
    """
    counted = matrix[:-1, :-1]
    hits = counted.diagonal().astype(float)
    true, predicted = counted.sum(axis=0).astype(float), counted.sum(axis=1).astype(float)
    present = true > 0
    with np.errstate(invalid="ignore"):  # 0 / 0, where a class has no pixels or no pixel counts
        acc = hits / true
        iou = np.where(present, hits / (true + predicted - hits), np.nan)
        means = (
            iou[present].sum() / present.sum(),
            (iou[present] * (true / true.sum())[present]).sum() if present.any() else np.nan,
            acc[present].sum() / present.sum(),
            hits.sum() / true.sum(),
        )
    return Scores(*(100 * float(mean) for mean in means), 100 * iou, 100 * acc, counted.sum(axis=0))


def worst_confusions(matrix: np.ndarray, top: int, by_share: bool = False) -> list[Confusion]:
    """The pairs of classes that are confused most, worst first.

    Args:
        matrix: a confusion matrix.
        top: the largest number of pairs.
        by_share: rank by the share of the true class, not by pixels.
    """
    wrong = matrix[:-1, :-1].copy()
    pixels = wrong.sum(axis=0)
    np.fill_diagonal(wrong, 0)
    predicted, true = wrong.nonzero()
    counts = wrong[predicted, true]
    shares = 100 * counts / pixels[true]
    order = np.lexsort((true, predicted, -counts, -shares) if by_share else (true, predicted, -counts))[:top]
    return [Confusion(int(true[i]), int(predicted[i]), int(counts[i]), float(shares[i])) for i in order]
