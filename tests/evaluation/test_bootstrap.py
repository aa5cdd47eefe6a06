"""Intervals over images: the scores of a resample are those of a data set of its images, drawn the same for A and B."""

import numpy as np
import pytest

from errseg.errors import UsageError
from errseg.evaluation import bootstrap
from errseg.evaluation.bootstrap import Interval, Measured, difference_intervals, intervals, resampled_scores
from errseg.evaluation.interest import interest_scores
from errseg.evaluation.metrics import INTEREST_SCORES, SCORES, SPLIT_SCORES, scores_by_name
from errseg.evaluation.per_image import ImageConfusions, unpack

CLASSES, UNSEEN, INTEREST = 7, [2, 5], [1, 2, 6]


def confusions(images, seed=0, hits=6):
    """Random confusions with ignored pixels, sorted as they are packed; the last class is never true."""
    random = np.random.default_rng(seed)
    made = random.integers(0, 4, (images, CLASSES + 1, CLASSES + 1)) * (random.random((images, 1, 1)) < 0.8)
    made[:, range(CLASSES), range(CLASSES)] += random.integers(0, hits, (images, CLASSES))
    made[:, :, CLASSES - 1] = 0
    return made


def packed(matrices, order=None):
    found = ImageConfusions(CLASSES)
    for i in range(len(matrices)) if order is None else order:
        found.add(bytes([i]), matrices[i])
    return found.pack()


@pytest.mark.parametrize("mean_over", ["ground_truth", "ground_truth_or_prediction"])
def test_a_resample_has_the_scores_of_a_set_of_its_images(mean_over):
    matrices = confusions(12)
    counts = unpack(packed(matrices), CLASSES)
    measured = Measured(counts, UNSEEN, mean_over, INTEREST)
    drawn = resampled_scores(measured)
    assert tuple(drawn) == SCORES + SPLIT_SCORES + INTEREST_SCORES

    def printed(matrix):
        return scores_by_name(matrix, UNSEEN, mean_over) | interest_scores(matrix, INTEREST, mean_over)

    draws = np.random.default_rng(bootstrap.SEED).integers(12, size=(bootstrap.BLOCK, 12))
    for i in (0, 1, 2):  # the first resamples, image by image
        expected = printed(matrices[draws[i]].sum(0))
        assert {score: values[i] for score, values in drawn.items()} == pytest.approx(expected, nan_ok=True)
    found = intervals(measured)
    scores = printed(matrices.sum(0))
    for score, interval in found.items():
        low, high = np.percentile(drawn[score] - np.median(drawn[score]), [2.5, 97.5])
        assert interval == pytest.approx((scores[score] + low, scores[score] + high))
        assert interval.low < scores[score] < interval.high
    assert found == intervals(measured)  # a fixed seed


def test_the_order_of_the_images_changes_nothing():
    matrices = confusions(9)
    assert packed(matrices) == packed(matrices, [3, 1, 8, 0, 2, 7, 6, 5, 4])
    counts = unpack(packed(matrices), CLASSES)
    for found, expected in zip(
        counts,
        (matrices.diagonal(axis1=1, axis2=2)[:, :-1], matrices[:, :-1, :-1].sum(1), matrices[:, :-1, :-1].sum(2)),
        strict=True,
    ):
        assert np.array_equal(found.toarray(), expected)


def test_a_difference_of_equal_images_is_narrower_than_the_scores():
    """Images differ much, the two evaluations little: only pairing shows that."""
    a = confusions(40, hits=60)
    b = a.copy()
    b[:, range(CLASSES - 1), range(CLASSES - 1)] += 2  # a few more hits in each image
    both = [Measured(unpack(packed(each), CLASSES), [], "ground_truth") for each in (a, b)]
    found = difference_intervals(*both)["mIoU"]
    alone = [intervals(each)["mIoU"] for each in both]
    assert 0 < found.low < found.high and found.high - found.low < (alone[0].high - alone[0].low) / 2
    assert alone[0].high > alone[1].low  # the intervals of the two scores overlap
    assert difference_intervals(both[0], both[0])["mIoU"] == Interval(0, 0)
    backwards = difference_intervals(both[1], both[0])["mIoU"]
    assert backwards == pytest.approx((-found.high, -found.low))


def test_one_image_and_no_pixel_have_no_interval():
    for matrices in (confusions(1), np.zeros((3, CLASSES + 1, CLASSES + 1), int), confusions(0)):
        measured = Measured(unpack(packed(matrices), CLASSES), UNSEEN, "ground_truth", INTEREST)
        assert set(intervals(measured).values()) == {None}
    perfect = np.stack([np.diag([5] * CLASSES + [0])] * 3)
    assert intervals(Measured(unpack(packed(perfect), CLASSES), [], "ground_truth"))["mIoU"] == (100, 100)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: [], "no mapping"),
        (lambda x: {**x, "images": -1}, "lack images"),
        (lambda x: {**x, "data": 5}, "lack images"),
        (lambda x: {**x, "cells": 10**9}, "more than"),
        (lambda x: {**x, "data": "%%"}, "damaged"),
        (lambda x: {**x, "data": "AAAA"}, "damaged"),
        (lambda x: {**x, "cells": x["cells"] + 1}, "another length"),
        (lambda x: {**x, "images": x["images"] + 2, "cells": x["cells"] - 1}, "do not have the cells"),
    ],
)
def test_damaged_confusions_are_refused(change, words):
    with pytest.raises(UsageError, match=words):
        unpack(change(packed(confusions(4))), CLASSES)
    with pytest.raises(UsageError, match="more classes"):
        unpack(packed(confusions(4)), CLASSES - 2)
