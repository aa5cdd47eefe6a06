"""Weights that a model cannot take as they are."""

import pytest
import torch

from errseg.errors import UsageError
from errseg.weight_files import check_fit

OWN = {"a": torch.zeros(2, 3), "count": torch.tensor(1), "mask": torch.tensor([True])}


def check(**changes):
    check_fit(OWN | changes, OWN, "MODEL.WEIGHTS = 'x.pth'", "use another")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_all_floats_are_taken(dtype):
    check(a=torch.ones(2, 3, dtype=dtype), count=torch.tensor(1, dtype=torch.int32))
    check(a=torch.ones(1, dtype=dtype).expand(2, 3))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"a": torch.tensor([[1.0, float("nan"), 1], [1, float("inf"), 1]])},
            "'a' has 2 of 6 values that are NaN, inf",
        ),
        ({"a": torch.full((2, 3), float("-inf"), dtype=torch.bfloat16)}, "'a' has 6 of 6 values"),
        ({"a": torch.full((2, 3), 1e300, dtype=torch.float64)}, "too large for float32"),
        ({"a": torch.ones(2, 3, dtype=torch.int8)}, "'a' is int8 where the model has float32"),
        ({"a": torch.ones(2, 3, dtype=torch.complex64)}, "'a' is complex64"),
        ({"a": torch.ones(2, 3, dtype=torch.bool)}, "'a' is bool"),
        ({"a": torch.ones(2, 3).to(torch.float8_e5m2)}, "'a' is float8_e5m2"),
        ({"count": torch.tensor(1.0)}, "'count' is float32 where the model has int64"),
        ({"mask": torch.tensor([1])}, "'mask' is int64 where the model has bool"),
        ({"a": torch.ones(2, 3).to_sparse()}, "'a' is not dense"),
        ({"a": torch.ones(2, 3, device="meta")}, "'a' is without values"),
        ({"a": torch.ones(1).expand(10**12)}, "1 of another shape"),
        ({"b": torch.ones(1)}, r"1 unknown \(b\); use another"),
    ],
)
def test_a_fault_is_named(changes, words):
    with pytest.raises(UsageError, match=f"MODEL.WEIGHTS = 'x.pth'.*{words}"):
        check(**changes)
