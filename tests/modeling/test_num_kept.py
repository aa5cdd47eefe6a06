"""K that fits the image: the number of names with enough points, within bounds."""

import pytest
import torch

from errseg.errors import ArgumentError
from errseg.modeling.num_kept import AutoKept, as_plain, from_plain, most_kept, same_for_all


def test_counts_are_of_the_points_and_within_the_bounds():
    points = torch.tensor([[0.5, 0.2, 0.01, 0.0], [0.9, 0.0, 0.0, 0.0], [0.3, 0.3, 0.3, 0.3]])
    assert AutoKept(0.2).counts(points).tolist() == [2, 1, 4]  # a name at the threshold stays
    assert AutoKept(0.2, least=2, most=3).counts(points).tolist() == [2, 2, 3]
    assert AutoKept(0.0, least=9, most=9).counts(points).tolist() == [4, 4, 4]  # T is the limit
    present = torch.tensor([[False, False, True, True], [False] * 4, [True] * 4])
    assert AutoKept(0.2, most=3).counts(points, present).tolist() == [3, 1, 4]  # names of the ground truth stay


def test_it_goes_through_json_and_has_a_largest_value():
    auto = AutoKept(0.01, 2, 9)
    assert from_plain(as_plain(auto)) == auto and from_plain(as_plain(7)) == 7
    assert [most_kept(each, 5) for each in (auto, 3, 7, 0)] == [5, 3, 5, 5]
    assert same_for_all(auto, 5) is auto and same_for_all(0, 5) == 5


@pytest.mark.parametrize("arguments", [(-0.1,), (float("nan"),), (0.1, 0), (0.1, 5, 4)])
def test_values_without_a_meaning_are_refused(arguments):
    with pytest.raises(ArgumentError, match="auto_"):
        AutoKept(*arguments)
