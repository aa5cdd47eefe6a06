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
    "MEAN_IOUS",
    "REGION_SCORES",
    "REGION_SPLIT_SCORES",
    "SCORES",
    "SPLIT_SCORES",
    "Confusion",
    "Counts",
    "Scores",
    "SplitScores",
    "counts_of",
    "means_of",
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
MEAN_IOUS = ("mIoU", *SPLIT_SCORES, INTEREST_SCORES[0])  # those whose intervals tables show
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


class Counts(NamedTuple):
    """Pixels of each class that are not ignored. Each is (…, N): the last axis are the classes."""

    hits: np.ndarray  # true and predicted
    true: np.ndarray
    predicted: np.ndarray


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
    counts = counts_of(matrix)
    means = means_of(counts, (), mean_over)
    with np.errstate(invalid="ignore"):  # 0 / 0, of a class without true pixels
        acc = 100 * (counts.hits / counts.true)
    return Scores(*(float(means[score]) for score in SCORES), 100 * _iou(counts), acc, counts.true.astype(np.int64))


def split_scores(matrix: np.ndarray, unseen: Sequence[int], mean_over: str = GROUND_TRUTH) -> SplitScores:
    """Seen, unseen and harmonic mIoU of a confusion matrix.

    Args:
        matrix: a confusion matrix.
        unseen: ids of the classes that training did not use.
        mean_over: as for :func:`scores_of`, in each of the two parts.
    """
    means = means_of(counts_of(matrix), unseen, mean_over)
    return SplitScores(*(float(means[score]) for score in SPLIT_SCORES))


def scores_by_name(matrix: np.ndarray, unseen: Sequence[int], mean_over: str) -> dict[str, float]:
    """SCORES, and SPLIT_SCORES if there are ``unseen`` classes, in percent."""
    return {score: float(mean) for score, mean in means_of(counts_of(matrix), unseen, mean_over).items()}


def counts_of(matrix: np.ndarray) -> Counts:
    """The counts (N,) of a confusion matrix, without its ignored pixels."""
    counted = matrix[:-1, :-1]
    counts = counted.diagonal(), counted.sum(axis=0), counted.sum(axis=1)
    return Counts(*(each.astype(float) for each in counts))


def means_of(
    counts: Counts, unseen: Sequence[int], mean_over: str, interest: Sequence[int] = ()
) -> dict[str, np.ndarray]:
    """SCORES, SPLIT_SCORES if there are ``unseen`` classes, and INTEREST_SCORES if there are classes of ``interest``.

    They are in percent; nan for a mean of nothing.

    Args:
        counts: (…, N), of one or several sets of images.
        unseen: ids of the classes that training did not use.
        mean_over: as for :func:`scores_of`.
        interest: ids of the classes of interest.

    Returns:
        Each (…,).
    """
    hits, true, predicted = counts
    iou, present = _iou(counts), true > 0
    averaged = present if mean_over == GROUND_TRUTH else present | (predicted > 0)
    with np.errstate(invalid="ignore"):  # 0 / 0, where a class has no pixels or no pixel counts
        means = {
            "mIoU": _mean_over(iou, averaged),
            "fwIoU": np.where(present, iou * (true / true.sum(-1, keepdims=True)), 0).sum(-1),
            "mACC": _mean_over(hits / true, present),
            "pACC": hits.sum(-1) / true.sum(-1),
        }
        means["fwIoU"] = np.where(present.any(-1), means["fwIoU"], np.nan)
    if len(unseen):
        is_unseen = np.zeros(iou.shape[-1], bool)
        is_unseen[list(unseen)] = True
        seen_mean, unseen_mean = (_mean_over(iou, averaged & part) for part in (~is_unseen, is_unseen))
        total = seen_mean + unseen_mean
        with np.errstate(invalid="ignore"):
            harmonic = np.where(total == 0, 0.0, 2 * seen_mean * unseen_mean / total)
        means |= dict(zip(SPLIT_SCORES, (seen_mean, unseen_mean, harmonic), strict=True))
    if len(interest):
        part = np.zeros(iou.shape[-1], bool)
        part[list(interest)] = True
        with np.errstate(invalid="ignore"):
            both = _mean_over(iou, averaged & part), _mean_over(hits / true, present & part)
        means |= dict(zip(INTEREST_SCORES, both, strict=True))
    return {score: 100 * mean for score, mean in means.items()}


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


def _iou(counts: Counts) -> np.ndarray:
    """The IoU of each class as a share, (…, N); nan where no pixel is truly of the class."""
    with np.errstate(invalid="ignore"):
        return np.where(counts.true > 0, counts.hits / (counts.true + counts.predicted - counts.hits), np.nan)


def _mean_over(values: np.ndarray, averaged: np.ndarray) -> np.ndarray:
    """The mean of ``values`` (…, N) over the classes ``averaged`` (…, N) bool, nan counting as 0; nan for no class."""
    with np.errstate(invalid="ignore"):
        return np.where(averaged & ~np.isnan(values), values, 0).sum(-1) / averaged.sum(-1)


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
