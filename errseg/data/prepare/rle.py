"""Run-length encoded masks of COCO's format.

pycocotools does not check the runs: where they end early, the rest of its mask is uninitialised memory.
"""

from typing import Any

import numpy as np

__all__ = ["decode_rle"]


def decode_rle(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """A mask (height, width) of bool.

    Args:
        segmentation: ``size``, and ``counts`` as a string, or as a list of the lengths of runs.
        size: the (height, width) that it must have.

    Raises:
        ValueError: it has another size, or its runs do not fill it.
    """
    if not isinstance(segmentation, dict) or "counts" not in segmentation or "size" not in segmentation:
        raise ValueError("a segmentation that is not run-length encoded")
    if tuple(segmentation["size"]) != size:
        raise ValueError("a mask of {1} × {0} pixels".format(*segmentation["size"]))
    counts = segmentation["counts"]
    runs = _runs(counts) if isinstance(counts, str) else np.array(counts, np.int64)
    pixels = size[0] * size[1]
    if runs.ndim != 1 or np.any((runs < 0) | (runs > pixels)) or runs.sum() != pixels:
        raise ValueError("runs that do not fill the mask")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size, order="F")


def _runs(counts: str) -> np.ndarray:
    """The lengths of the runs, int64.

    A character's code minus 48 holds five bits of a number, lowest first, and a sixth bit that says whether more
    follow. The numbers are signed. From the fourth on, each is the difference from the number two places before it.
    """
    digits = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(digits & 32 == 0) + 1
    if not len(digits) or digits.min() < 0 or digits.max() > 63 or not len(ends) or ends[-1] != len(digits):
        raise ValueError("a string that is no run-length code")
    lengths = np.diff(ends, prepend=0)
    if lengths.max() > 10:
        raise ValueError("a run of more than 2^49 pixels")
    places = np.arange(len(digits)) - np.repeat(ends - lengths, lengths)
    numbers = np.add.reduceat((digits & 31) << (5 * places), ends - lengths)
    negative = digits[ends - 1] & 16 != 0
    numbers[negative] -= 1 << (5 * lengths[negative])
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers
