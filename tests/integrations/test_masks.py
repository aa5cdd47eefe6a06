"""The label maps of other programs: names from 1 on, 0 where there is none."""

import numpy as np
import pytest

from errseg.api import Result
from errseg.errors import UsageError
from errseg.integrations.masks import check_names, label_mask, mask_targets


def result_of(labels, scores, names):
    labels, scores = np.array(labels, np.int32), np.array(scores, np.float32)
    return Result(np.zeros((*labels.shape, 3), np.uint8), labels, scores, tuple(names))


def test_values_are_names_from_1_on_and_0_below_the_confidence_or_of_another_name():
    names = ("cat", "grass", "sky")
    result = result_of([[0, 1, 2], [2, 1, 0]], [[0.9, 0.5, 0.2], [0.5, 0.4, 0.1]], names)
    assert mask_targets(names) == {1: "cat", 2: "grass", 3: "sky"}
    assert label_mask(result).tolist() == [[1, 2, 3], [3, 2, 1]] and label_mask(result).dtype == np.uint8
    assert label_mask(result, 0.5).tolist() == [[1, 2, 0], [3, 0, 0]]
    assert label_mask(result, 0.4, {"sky", "cat"}).tolist() == [[1, 0, 0], [3, 0, 0]]
    assert not label_mask(result, only=[]).any()


@pytest.mark.parametrize(("count", "dtype"), [(255, np.uint8), (256, np.uint16)])
def test_a_mask_holds_every_name(count, dtype):
    mask = label_mask(result_of([[0, count - 1]], [[1, 1]], map(str, range(count))))
    assert mask.tolist() == [[1, count]] and mask.dtype == dtype


def test_names_that_a_mask_cannot_hold_or_that_are_not_there_are_refused():
    check_names(["cat", "grass"], ["grass"])
    with pytest.raises(UsageError, match="has 65536 names, but a mask has at most 65535"):
        check_names([""] * 65536)
    with pytest.raises(UsageError, match="classes has 'gras', which the vocabulary lacks; .* such as 'grass'"):
        check_names(["cat", "grass"], ["gras"])
