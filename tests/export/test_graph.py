"""The exported module: the type of its labels."""

import pytest
import torch

from errseg.export.graph import label_dtype


@pytest.mark.parametrize(
    ("count", "dtype"), [(256, torch.uint8), (257, torch.uint16), (65536, torch.uint16), (65537, torch.int32)]
)
def test_labels_are_of_the_smallest_type(count, dtype):
    assert label_dtype(count) is dtype
