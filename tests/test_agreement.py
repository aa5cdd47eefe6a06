"""The share of equal pixels."""

import numpy as np
import pytest
import torch

from errseg.agreement import share_of_equal_pixels


def test_pixels_count_and_not_pictures():
    small, large = np.zeros((1, 2), np.int32), np.arange(6).reshape(2, 3)
    assert share_of_equal_pixels([small, large], [torch.tensor([[0, 1]]), torch.from_numpy(large)]) == 7 / 8


@pytest.mark.parametrize("theirs", [[np.zeros((1, 3))], [np.zeros((2, 3))] * 2, []])
def test_other_shapes_are_refused(theirs):
    with pytest.raises(ValueError, match="cannot be compared|zip"):
        share_of_equal_pixels([np.zeros((2, 3))], theirs)
