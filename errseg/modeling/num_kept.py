"""K, how many names a system keeps for an image: a number, or one that fits each image ("auto").

Shapes: B images, T names of the vocabulary.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError

__all__ = ["AUTO", "AutoKept", "NumKept", "as_plain", "from_plain", "most_kept", "same_for_all"]

AUTO = "auto"  # K that fits the image, in configurations and on command lines


@dataclass(frozen=True)
class AutoKept:
    """K that fits the image: the number of names whose points per location reach a threshold, within bounds.

    Args:
        threshold: points per location of a name, from 0 (a location is one of those that rank the names).
        least: the smallest K.
        most: the largest K; the names of the ground truth stay beyond it, in training.

    Raises:
        ArgumentError: the threshold is negative, or the bounds are no bounds.
    """

    threshold: float = 0.005
    least: int = 1
    most: int = 64

    def __post_init__(self) -> None:
        if not self.threshold >= 0:
            raise ArgumentError("{auto_threshold} = %r; give a number of points per location from 0.", self.threshold)
        if self.least < 1:
            raise ArgumentError("{auto_min} = %s keeps no name; give 1 or more.", self.least)
        if self.most < self.least:
            raise ArgumentError("{auto_max} = %s is less than {auto_min} = %s; give more.", self.most, self.least)

    def __str__(self) -> str:
        return f"{AUTO} ({self.threshold:g} points per location, {self.least} to {self.most} names)"

    def counts(self, points: Tensor, present: Tensor | None = None) -> Tensor:
        """K of each image: points per location (B, T) -> (B,) int64, from 1 to T.

        Args:
            points: of each name.
            present: (B, T) bool, names that stay whatever their points are.
        """
        reached = points >= self.threshold
        if present is not None:
            reached = reached | present
        counts = reached.sum(1).clamp(self.least, self.most)
        if present is not None:
            counts = torch.maximum(counts, present.sum(1))
        return counts.clamp(max=points.shape[1])


NumKept = int | AutoKept  # K; 0 for all names, where a function says so


def most_kept(num_kept: NumKept, count: int) -> int:
    """The largest K that an image of a vocabulary of ``count`` names can have; of 0, all names."""
    return min((num_kept.most if isinstance(num_kept, AutoKept) else num_kept) or count, count)


def same_for_all(num_kept: NumKept, count: int) -> NumKept:
    """K for a vocabulary of ``count`` names: a number from 1 to ``count``, of 0 all; an ``AutoKept`` as it is."""
    return num_kept if isinstance(num_kept, AutoKept) else most_kept(num_kept, count)


def as_plain(num_kept: NumKept) -> Any:
    """K for JSON: a number, or a mapping."""
    return asdict(num_kept) if isinstance(num_kept, AutoKept) else num_kept


def from_plain(value: Any) -> NumKept:
    """K from what ``as_plain`` gives."""
    return AutoKept(**value) if isinstance(value, dict) else value
