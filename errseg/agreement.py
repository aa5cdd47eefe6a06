"""Measure how far two sets of label maps of the same images agree."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

__all__ = ["share_of_equal_pixels"]


def share_of_equal_pixels(ours: Sequence[np.ndarray | Tensor], theirs: Sequence[np.ndarray | Tensor]) -> float:
    """The share of the pixels of several label maps that have the same label in both.

    Args:
        ours: label maps (H, W), or stacks of them; at least one pixel in all. A tensor may be on any device.
        theirs: of the same shapes.

    Raises:
        ValueError: the number of label maps or a shape differs.
    """
    equal = total = 0
    for a, b in zip(ours, theirs, strict=True):
        a, b = (x.cpu().numpy() if isinstance(x, Tensor) else np.asarray(x) for x in (a, b))
        if a.shape != b.shape:  # numpy would broadcast them
            raise ValueError(f"label maps of the shapes {a.shape} and {b.shape} cannot be compared")
        equal += int((a == b).sum())
        total += a.size
    return equal / total
