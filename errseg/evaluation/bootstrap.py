"""The bootstrap over images: how much a score would change with another choice of as many images of the same kind.

A resample draws n of the n images with replacement, and has the scores of a data set of those images. RESAMPLES of them
with a fixed seed give an interval. What training adds, such as its seed, is not in it.

A class that few images show is missing from some resamples. That moves the means of all resamples alike, up or down,
and so an interval is the spread of the resamples around their own median, moved to the score.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .metrics import Counts, means_of
from .per_image import ImageCounts

__all__ = [
    "BOOTSTRAP",
    "LEVEL",
    "Interval",
    "Measured",
    "difference_intervals",
    "intervals",
    "mean_intervals",
    "resampled_scores",
]

LEVEL = 95  # percent
RESAMPLES, SEED = 1000, 0
BLOCK = 100  # resamples at a time
BOOTSTRAP = {"level": LEVEL, "resamples": RESAMPLES, "seed": SEED}  # for the record


class Interval(NamedTuple):
    """The bounds of a score, or of a difference of scores, in percent."""

    low: float
    high: float


class Measured(NamedTuple):
    """An evaluation of a data set, and what its means are over.

    Attributes:
        images: the counts of each image.
        unseen: ids of the classes that training did not use.
        mean_over: TEST.MEAN_OVER.
        interest: ids of the classes of interest.
    """

    images: ImageCounts
    unseen: Sequence[int]
    mean_over: str
    interest: Sequence[int] = ()

    def means(self, counts: Counts) -> dict[str, np.ndarray]:
        """The scores of counts (…, N): see ``means_of``."""
        return means_of(counts, self.unseen, self.mean_over, self.interest)


def intervals(measured: Measured) -> dict[str, Interval | None]:
    """The interval of each score of a data set; None where the score or its spread is not defined."""
    scores, drawn = _scores(measured), resampled_scores(measured)
    found = {score: _interval(scores[score], values) for score, values in drawn.items()}
    return {score: x and Interval(max(x.low, 0.0), min(x.high, 100.0)) for score, x in found.items()}


def difference_intervals(a: Measured, b: Measured) -> dict[str, Interval | None]:
    """The interval of each score of B minus that of A: both are computed from the same draws (a paired bootstrap).

    Args:
        a, b: two evaluations of the same images in the same order.
    """
    scores, drawn = [_scores(each) for each in (a, b)], [resampled_scores(each) for each in (a, b)]
    both = [score for score in drawn[0] if score in drawn[1]]
    return {score: _interval(scores[1][score] - scores[0][score], drawn[1][score] - drawn[0][score]) for score in both}


def mean_intervals(runs: Sequence[Measured]) -> dict[str, Interval | None]:
    """The interval of the mean of each score over several runs, such as seeds: all are computed from the same draws.

    Args:
        runs: evaluations of the same images in the same order.
    """
    scores, drawn = [_scores(each) for each in runs], [resampled_scores(each) for each in runs]
    shared = [score for score in drawn[0] if all(score in each for each in drawn)]
    means = {s: [np.mean([each[s] for each in some], axis=0) for some in (scores, drawn)] for s in shared}
    found = {score: _interval(np.asarray(mean), values) for score, (mean, values) in means.items()}
    return {score: x and Interval(max(x.low, 0.0), min(x.high, 100.0)) for score, x in found.items()}


def resampled_scores(measured: Measured) -> dict[str, np.ndarray]:
    """Each score of each resample, (RESAMPLES,) in percent; the draws depend on the number of images alone."""
    if measured.images.true.shape[0] < 2:  # one image has no spread
        return {score: np.full(RESAMPLES, np.nan) for score in _scores(measured)}
    parts = [measured.means(counts) for counts in _resampled(measured.images)]
    return {score: np.concatenate([part[score] for part in parts]) for score in parts[0]}


def _resampled(images: ImageCounts) -> Iterator[Counts]:
    """The counts (BLOCK, N) of blocks of resamples."""
    random, number = np.random.default_rng(SEED), images.true.shape[0]
    for _ in range(RESAMPLES // BLOCK):
        places = random.integers(number, size=(BLOCK, number)) + number * np.arange(BLOCK)[:, None]
        times = np.bincount(places.ravel(), minlength=BLOCK * number).reshape(BLOCK, number).astype(float)
        yield Counts(*(np.asarray((each.T @ times.T).T) for each in images))


def _scores(measured: Measured) -> dict[str, np.ndarray]:
    return measured.means(Counts(*(np.asarray(each.sum(axis=0)).ravel() for each in measured.images)))


def _interval(score: np.ndarray, values: np.ndarray) -> Interval | None:
    """The interval of a score from its values (RESAMPLES,) in the resamples; those without a value do not count."""
    values = values[~np.isnan(values)]
    if np.isnan(score) or len(values) < RESAMPLES // 2:
        return None
    low, middle, high = np.percentile(values, [(100 - LEVEL) / 2, 50, (100 + LEVEL) / 2])
    return Interval(float(score + low - middle), float(score + high - middle))
