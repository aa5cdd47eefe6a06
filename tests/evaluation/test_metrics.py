"""Means over the classes of truth or prediction, and the scores of zero-shot splits, counted by hand."""

import numpy as np
import pytest

from errseg.evaluation.metrics import (
    REGION_SCORES,
    REGION_SPLIT_SCORES,
    SCORES,
    SPLIT_SCORES,
    region_scores,
    scores_by_name,
    scores_of,
    shown_scores,
    split_scores,
)


def confusion(true, predicted, classes):
    """(classes + 1, classes + 1); the id ``classes`` is the ignored one."""
    matrix = np.zeros((classes + 1, classes + 1), np.int64)
    np.add.at(matrix, (np.array(predicted), np.array(true)), 1)
    return matrix


# Class 0: 2 of 3 pixels, class 1: 1 of 2, class 2 is predicted once and never true, class 3 is nowhere.
TRUE, PREDICTED = [0, 0, 1, 1, 0, 4], [0, 0, 1, 2, 1, 3]
MATRIX = confusion(TRUE, PREDICTED, 4)


def test_a_mean_is_over_the_classes_of_the_truth_or_also_of_the_predictions():
    truth, both = scores_of(MATRIX), scores_of(MATRIX, "ground_truth_or_prediction")
    assert truth.mIoU == pytest.approx(100 * (2 / 3 + 1 / 3) / 2)
    assert both.mIoU == pytest.approx(100 * (2 / 3 + 1 / 3) / 3)  # class 3 is predicted where the truth is ignored
    assert truth[1:4] == both[1:4] and np.array_equal(truth.iou, both.iou, equal_nan=True)
    empty = np.zeros((3, 3), np.int64)
    assert all(np.isnan(scores_of(empty, over).mIoU) for over in ("ground_truth", "ground_truth_or_prediction"))


def test_seen_unseen_and_harmonic_mean():
    scores = split_scores(MATRIX, [1])
    seen, unseen = 100 * 2 / 3, 100 / 3
    assert scores == pytest.approx((seen, unseen, 2 * seen * unseen / (seen + unseen)))
    assert split_scores(MATRIX, [1, 2]) == pytest.approx(scores)  # class 2 is not true anywhere
    seen, unseen = 100 * 2 / 3, 100 / 6
    both = split_scores(MATRIX, [1, 2], "ground_truth_or_prediction")
    assert both == pytest.approx((seen, unseen, 2 * seen * unseen / (seen + unseen)))


def test_a_part_without_a_class_has_no_score_and_two_of_zero_have_zero():
    scores = split_scores(MATRIX, [3])
    assert scores.mIoU_seen == pytest.approx(50) and np.isnan(scores.mIoU_unseen) and np.isnan(scores.hIoU)
    wrong = confusion([0, 1], [1, 0], 2)
    assert split_scores(wrong, [1]) == (0, 0, 0)


def test_the_whole_mean_is_the_weighted_mean_of_the_parts():
    matrix = np.random.default_rng(0).integers(1, 50, (8, 8))
    scores = split_scores(matrix, [2, 5])
    assert scores_of(matrix).mIoU == pytest.approx((5 * scores.mIoU_seen + 2 * scores.mIoU_unseen) / 7)


def test_scores_of_a_split_are_named_and_shown_where_there_are_any():
    assert tuple(scores_by_name(MATRIX, [], "ground_truth")) == SCORES
    named = scores_by_name(MATRIX, [1], "ground_truth")
    assert tuple(named) == SCORES + SPLIT_SCORES and named["hIoU"] == split_scores(MATRIX, [1]).hIoU
    assert shown_scores([]) == shown_scores([{"mIoU": 1.0}]) == SCORES
    assert shown_scores([{"mIoU": 1.0}, named]) == ("mIoU", *SPLIT_SCORES, "fwIoU", "mACC", "pACC")


def test_accuracies_are_of_all_regions_and_means_of_the_classes_that_have_any():
    top1, top5, regions = np.array([1, 3, 0, 0]), np.array([2, 4, 0, 1]), np.array([2, 12, 0, 2])
    scores = region_scores(top1, top5, regions, [])
    assert scores == pytest.approx(
        {
            "top1": 100 * 4 / 16,
            "top5": 100 * 7 / 16,
            "mean_top1": 100 * (1 / 2 + 1 / 4 + 0) / 3,
            "mean_top5": 100 * (1 + 1 / 3 + 1 / 2) / 3,
        }
    )
    split = region_scores(top1, top5, regions, [1, 2])
    assert {**split, **scores} == split
    assert split["mean_top1_seen"] == pytest.approx(25) and split["mean_top1_unseen"] == pytest.approx(25)
    assert tuple(scores) == shown_scores([scores]) == REGION_SCORES
    assert tuple(split) == shown_scores([scores, split]) == REGION_SCORES + REGION_SPLIT_SCORES
    nothing = np.zeros(4, int)
    assert all(np.isnan(value) for value in region_scores(nothing, nothing, nothing, [0]).values())
