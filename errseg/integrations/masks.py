"""Label maps in which 0 means that a pixel has no name, as annotation programs store them."""

import difflib
from collections.abc import Iterable, Sequence

import numpy as np

from errseg.api import Result
from errseg.errors import UsageError, short

__all__ = ["MOST_NAMES", "check_names", "label_mask", "mask_targets"]

MOST_NAMES = 65535  # in 16 bits, without the value 0


def mask_targets(names: Sequence[str]) -> dict[int, str]:
    """The name of each value of a mask of ``label_mask``. The value 0 has none."""
    return dict(enumerate(names, start=1))


def label_mask(result: Result, min_confidence: float = 0.0, only: Iterable[str] | None = None) -> np.ndarray:
    """The index of each pixel's name, from 1 on.

    Args:
        result: of a picture of H x W pixels.
        min_confidence: 0 to 1; a pixel with a lower confidence becomes 0.
        only: names of the result; a pixel of another name becomes 0. None: all names stay.

    Returns:
        (H, W) uint8; with more than 255 names, uint16.
    """
    mask = (result.labels + 1).astype(np.uint8 if len(result.names) <= 255 else np.uint16)
    mask[result.scores < min_confidence] = 0
    if only is not None:
        mask[~np.isin(result.labels, [result.names.index(name) for name in only])] = 0
    return mask


def check_names(names: Sequence[str], only: Iterable[str] | None = None) -> None:
    """Check that a mask can hold the names, and that ``only`` has no other names.

    Raises:
        UsageError: otherwise.
    """
    if len(names) > MOST_NAMES:
        raise UsageError(
            f"The vocabulary has {len(names)} names, but a mask has at most {MOST_NAMES}; set fewer names."
        )
    for name in only or ():
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5) or names[:1]
            raise UsageError(
                f"classes has {short(name)!r}, which the vocabulary lacks; give names of it, such as {near[0]!r}."
            )
