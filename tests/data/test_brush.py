"""Label Studio's run-length code: a known code, and masks that come back."""

import numpy as np
import pytest

from errseg.data.brush import decode_brush, encode_brush


def bits(*parts):
    text = "".join(parts)
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


HEAD = (
    f"{8:032b}",
    "00111",
    "0010",
    "0011",
    "0111",
    "1111",
)  # 8 bytes: two pixels; values of 8 bits; lengths 3, 4, 8, 16


def test_the_code_by_hand():
    repeated = bits(*HEAD, "1", "00", "011", "00000000", "1", "00", "011", "11111111")
    assert encode_brush(np.array([[False, True]])) == repeated
    assert decode_brush(repeated, (1, 2)).tolist() == [[False, True]]
    singly = bits(*HEAD, "0", "01", "0111", *(f"{value:08b}" for value in (0, 0, 0, 127, 9, 9, 9, 128)))
    assert decode_brush(singly, (1, 2)).tolist() == [[False, True]]


@pytest.mark.parametrize("seed", range(3))
def test_masks_come_back(seed):
    mask = np.kron(np.random.default_rng(seed).random((7, 9)) < 0.4, np.ones((20, 31), bool)).astype(bool)
    assert np.array_equal(decode_brush(encode_brush(mask), mask.shape), mask)
    assert decode_brush(encode_brush(mask & False), mask.shape).sum() == 0  # runs of more than 2^16 bytes


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (bits(*HEAD), "ends early"),
        (bits(*HEAD, "1", "01", "1111", "11111111"), "runs are too long"),
        ([0, 0, 0, 4, 1, 1, 1, 1], "of 4 bytes, not of 2 × 1 pixels"),
        ([1, 2, 999], "no list of bytes"),
    ],
)
def test_damaged_codes(code, reason):
    with pytest.raises(ValueError, match=reason):
        decode_brush(code, (1, 2))
