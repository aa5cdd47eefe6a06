"""Parity: the comparison of a system with recorded numbers of its authors' model (``errseg.parity``)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from .taps import Seen

__all__ = ["Fixture", "Parity", "Recorded", "difference", "no_measures", "sampled"]

Fixture = Mapping[str, np.ndarray]  # the arrays of a file, by name
Measures = Iterator[tuple[str, float]]


class Recorded(NamedTuple):
    """An intermediate result recorded from the authors' model, and its place in ours."""

    tap: str
    layout: Callable[[Any], Tensor] = lambda value: value  # from the tap's value to the recorded layout


def no_measures(model: nn.Module, seen: Seen, scores: Tensor, fixture: Fixture) -> Measures:
    """No measures, except those that every system has."""
    return iter(())


@dataclass(frozen=True)
class Parity:
    """The comparison of a system with recorded numbers.

    Attributes:
        needs: the arrays that every fixture of the system has. A fixture belongs to the first system whose arrays it
            has, so include an array that no other system's fixtures have.
        lacks: arrays that no fixture of the system has, and those of other systems have.
        config: from a fixture, the configuration of its model, without drop-path. Raises UsageError where there is no
            such model.
        key_table: from a fixture, the name of the file with the names and shapes of the released weights.
        recorded: the intermediate results to compare, by their recorded names.
        measures: from the model, the values at the taps, the scores (T, H, W) and the fixture, further measures.
        taps: the taps that ``measures`` needs.
        limits: the limit of each of these measures, by name; above it, a fixture fails. Measures of the same name in
            other systems have the same limit.
        rebuilt: from the rebuilt weights under their released names, and the fixture, the weights of the fixture.
        gradient_floor: gradient norms below this share of the largest are rounding errors of zero gradients.
    """

    needs: tuple[str, ...]
    config: Callable[[Fixture], CfgNode]
    key_table: Callable[[Fixture], str]
    recorded: Mapping[str, Recorded] = field(default_factory=dict)
    measures: Callable[[nn.Module, Seen, Tensor, Fixture], Measures] = no_measures
    taps: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    rebuilt: Callable[[dict[str, Tensor], Fixture], dict[str, Tensor]] = lambda weights, fixture: weights
    gradient_floor: float = 1e-7
    lacks: tuple[str, ...] = ()


def sampled(n: int, most: int) -> np.ndarray:
    """The flat indices at which an array of n values was recorded."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def difference(ours: Tensor, theirs: np.ndarray) -> float:
    """The largest absolute difference."""
    return float((ours - torch.from_numpy(theirs)).abs().max())
