"""The scores of semantic segmentation, from one confusion matrix.

Shapes: N classes. A matrix is (N + 1, N + 1) int64, as in Detectron2's ``SemSegEvaluator``: a row is a predicted class,
a column a true class. The last row and the last column are the ignored pixels.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "GROUND_TRUTH",
    "GROUND_TRUTH_OR_PREDICTION",
    "INTEREST_SCORES",
    "REGION_SCORES",
    "REGION_SPLIT_SCORES",
    "SCORES",
    "SPLIT_SCORES",
    "Confusion",
    "Scores",
    "SplitScores",
    "region_scores",
    "scores_by_name",
    "scores_of",
    "shown_scores",
    "split_scores",
    "worst_confusions",
]

SCORES = ("mIoU", "fwIoU", "mACC", "pACC")  # percent
SPLIT_SCORES = ("mIoU_seen", "mIoU_unseen", "hIoU")  # percent, of a test set of a zero-shot split
INTEREST_SCORES = ("CoI-mIoU", "CoI-mACC")  # percent, of a test set with classes of interest
REGION_SCORES = ("top1", "top5", "mean_top1", "mean_top5")  # percent: of all regions, and the mean of the classes
REGION_SPLIT_SCORES = ("mean_top1_seen", "mean_top1_unseen")  # percent, of a test set of a zero-shot split
GROUND_TRUTH, GROUND_TRUTH_OR_PREDICTION = "ground_truth", "ground_truth_or_prediction"  # TEST.MEAN_OVER


class Scores(NamedTuple):
    """The usual scores of the field, in percent; nan where no label map has the class, or where no pixel counts."""

    mIoU: float  # over the classes of the ground truth, or also of the predictions
    fwIoU: float  # the same, weighted by the pixels of each class
    mACC: float
    pACC: float
    iou: np.ndarray  # (N,)
    acc: np.ndarray  # (N,)
    pixels: np.ndarray  # (N,) of the ground truth


class SplitScores(NamedTuple):
    """The scores of a zero-shot split, in percent; nan where the mean of a part is over no class."""

    mIoU_seen: float
    mIoU_unseen: float
    hIoU: float  # the harmonic mean of both, 2 s u / (s + u); 0 where both are 0


class Confusion(NamedTuple):
    """Pixels of one class that are predicted as another."""

    true: int
    predicted: int
    pixels: int
    share: float  # of the true class's pixels, in percent


def scores_of(matrix: np.ndarray, mean_over: str = GROUND_TRUTH) -> Scores:
    """The scores of a confusion matrix, by the formulas of Detectron2's evaluator.

    An ignored pixel counts neither as a prediction nor as truth. A class without a true pixel does not count in a mean,
    but its predictions are errors of other classes.

    Args:
        matrix: a confusion matrix.
        mean_over: the classes that mIoU is the mean of. ``ground_truth``: those with a true pixel.
            ``ground_truth_or_prediction``: also those that are predicted somewhere, whose IoU counts as 0.
    """
    counted = matrix[:-1, :-1]
    hits = counted.diagonal().astype(float)
    true, predicted = counted.sum(axis=0).astype(float), counted.sum(axis=1).astype(float)
    present = true > 0
    with np.errstate(invalid="ignore"):  # 0 / 0, where a class has no pixels or no pixel counts
        acc = hits / true
        iou = np.where(present, hits / (true + predicted - hits), np.nan)
        means = (
            _mean_iou(iou, _averaged(counted, mean_over)),
            (iou[present] * (true / true.sum())[present]).sum() if present.any() else np.nan,
            acc[present].sum() / present.sum(),
            hits.sum() / true.sum(),
        )
    return Scores(*(100 * float(mean) for mean in means), 100 * iou, 100 * acc, counted.sum(axis=0))


def split_scores(matrix: np.ndarray, unseen: Sequence[int], mean_over: str = GROUND_TRUTH) -> SplitScores:
    """Seen, unseen and harmonic mIoU of a confusion matrix.

    Args:
        matrix: a confusion matrix.
        unseen: ids of the classes that training did not use.
        mean_over: as for :func:`scores_of`, in each of the two parts.
    """
    iou, averaged = scores_of(matrix).iou, _averaged(matrix[:-1, :-1], mean_over)
    is_unseen = np.zeros(len(iou), bool)
    is_unseen[list(unseen)] = True
    seen_mean, unseen_mean = (_mean_iou(iou, averaged & part) for part in (~is_unseen, is_unseen))
    total = seen_mean + unseen_mean
    return SplitScores(seen_mean, unseen_mean, 0.0 if total == 0 else 2 * seen_mean * unseen_mean / total)


def scores_by_name(matrix: np.ndarray, unseen: Sequence[int], mean_over: str) -> dict[str, float]:
    """SCORES, and SPLIT_SCORES if there are ``unseen`` classes, in percent."""
    scores = scores_of(matrix, mean_over)
    named = {score: getattr(scores, score) for score in SCORES}
    return named | split_scores(matrix, unseen, mean_over)._asdict() if unseen else named


def region_scores(top1: np.ndarray, top5: np.ndarray, regions: np.ndarray, unseen: Sequence[int]) -> dict[str, float]:
    """REGION_SCORES, and REGION_SPLIT_SCORES if there are ``unseen`` classes, in percent; nan for a mean of nothing.

    Args:
        top1: (N,) regions of each class whose class is the best name.
        top5: (N,) regions of each class whose class is among the five best names.
        regions: (N,) all regions of each class. A class without regions does not count in a mean of classes.
        unseen: ids of the classes that training did not use.
    """
    is_unseen, present = np.zeros(len(regions), bool), regions > 0
    is_unseen[list(unseen)] = True
    with np.errstate(invalid="ignore"):  # 0 / 0, of a class without regions
        best, among_best = 100 * top1 / regions, 100 * top5 / regions
        scores = (
            float(100 * top1.sum() / regions.sum()),
            float(100 * top5.sum() / regions.sum()),
            _mean(best[present]),
            _mean(among_best[present]),
        )
    named = dict(zip(REGION_SCORES, scores, strict=True))
    split = (_mean(best[present & ~is_unseen]), _mean(best[present & is_unseen]))
    return named | dict(zip(REGION_SPLIT_SCORES, split, strict=True)) if len(unseen) else named


def shown_scores(results: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The names of the scores that tables show: those of a part of the classes follow mIoU where a result has them."""
    results = list(results)
    if any(REGION_SCORES[0] in result for result in results):
        has_split = any(score in result for result in results for score in REGION_SPLIT_SCORES)
        return REGION_SCORES + (REGION_SPLIT_SCORES if has_split else ())
    parts = [group for group in (SPLIT_SCORES, INTEREST_SCORES) if any(group[0] in result for result in results)]
    return (SCORES[0], *(score for group in parts for score in group), *SCORES[1:])


def _averaged(counted: np.ndarray, mean_over: str) -> np.ndarray:
    """Which classes a mean IoU is over, (N,) bool."""
    present = counted.sum(axis=0) > 0
    return present if mean_over == GROUND_TRUTH else present | (counted.sum(axis=1) > 0)


def _mean_iou(iou: np.ndarray, averaged: np.ndarray) -> float:
    """The mean of ``iou`` (N,) over classes ``averaged`` (N,) bool, nan counting as 0; nan where there is no class."""
    return float(np.nansum(iou[averaged]) / averaged.sum()) if averaged.any() else np.nan


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else np.nan


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
