"""Rename the parameters of a released checkpoint to errseg's names, strictly."""

import re
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from ..errors import UsageError

__all__ = ["rename", "strictly_renamed"]


def rename(key: str, table: Sequence[tuple[str, str]]) -> str:
    """A name by a table of (pattern, replacement); the first pattern that matches the whole name counts.

    A name that no pattern matches stays as it is.
    """
    for pattern, replacement in table:
        if match := re.fullmatch(pattern, key):
            return match.expand(replacement)
    return key


def strictly_renamed(
    state_dict: Mapping[str, Tensor], expected: Mapping[str, tuple[str, tuple[int, ...]]], what: str
) -> dict[str, Tensor]:
    """A released state dict under errseg's names.

    Args:
        state_dict: the released weights.
        expected: by the released name, errseg's name and the shape.
        what: what the checkpoint should be, for the message.

    Raises:
        UsageError: keys are missing or unknown, or have another shape; the message names them.
    """
    missing = [key for key in expected if key not in state_dict]
    unknown = [key for key in state_dict if key not in expected]
    shapes = [
        f"{key} {tuple(value.shape)} instead of {tuple(expected[key][1])}"
        for key, value in state_dict.items()
        if key in expected and tuple(value.shape) != tuple(expected[key][1])
    ]
    problems = [
        f"{len(keys)} {kind}: {_some(keys)}"
        for kind, keys in (("missing", missing), ("unknown", unknown), ("of another shape", shapes))
        if keys
    ]
    if problems:
        raise UsageError(f"Not a whole released {what} checkpoint, keys {'; '.join(problems)}; get the file again.")
    return {expected[key][0]: value for key, value in state_dict.items()}


def _some(keys: Iterable[str], most: int = 5) -> str:
    keys = list(keys)
    return ", ".join(keys[:most]) + (f" and {len(keys) - most} more" if len(keys) > most else "")
