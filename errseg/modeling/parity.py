"""Parity: how a system is compared with recorded numbers of its authors' model (``errseg.parity``)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from .taps import Seen

__all__ = ["Fixture", "Parity", "Recorded", "difference", "no_measures", "sampled"]

Fixture = Mapping[str, np.ndarray]  # the arrays of a file, by their names
Measures = Iterator[tuple[str, float]]


class Recorded(NamedTuple):
    """Where an intermediate result that the authors' model recorded passes in ours."""

    tap: str
    layout: Callable[[Any], Tensor] = lambda value: value  # from the tap's value to the recorded layout


def no_measures(model: nn.Module, seen: Seen, scores: Tensor, fixture: Fixture) -> Measures:
    """No measure beyond those of every system."""
    return iter(())


@dataclass(frozen=True)
class Parity:
    """How a system is compared with recorded numbers.

    Attributes:
        needs: the arrays that all fixtures of the system have. A fixture is of the first system whose arrays it has
            all, so name one that no other system's fixtures have.
        config: the configuration of the model that a fixture is of, without drop-path. Raises UsageError where there is
            no such model.
        key_table: the name of the file with the names and shapes of the released weights, of a fixture.
        recorded: the intermediate results that are compared, by their recorded names.
        measures: further measures of a prediction, of the model, what was seen at the taps, the scores (T, H, W), and
            the fixture.
        taps: those that ``measures`` needs.
        limits: of those measures, by name: past it a fixture fails. Another system's measure of the same name has the
            same limit.
    """

    needs: tuple[str, ...]
    config: Callable[[Fixture], CfgNode]
    key_table: Callable[[Fixture], str]
    recorded: Mapping[str, Recorded] = field(default_factory=dict)
    measures: Callable[[nn.Module, Seen, Tensor, Fixture], Measures] = no_measures
    taps: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)


def sampled(n: int, most: int) -> np.ndarray:
    """The flat indices at which an array of n values was recorded."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def difference(ours: Tensor, theirs: np.ndarray) -> float:
    """The largest absolute difference."""
    return float((ours - torch.from_numpy(theirs)).abs().max())
