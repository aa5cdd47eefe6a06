"""Split a run into parts: the model passes a mark at the end of each stage of its system.

The clock is read at the start of the run and at each mark. The difference between two readings belongs to the later
mark. The same marks split time on the CPU, time on a GPU, and counts of work.
"""

import time
from typing import Any, Protocol

import torch
from torch import nn

from ..modeling import system_of_model
from ..modeling.taps import taps_of

AFTER = ("output", "loss", "backward", "optimizer")  # the parts that follow the stages of any system


class Clock(Protocol):
    """A clock that is read at marks."""

    def read(self) -> Any:
        """A reading."""

    def between(self, start: Any, end: Any) -> Any:
        """The difference between two readings; called after the run."""


class CpuClock:
    """Seconds on a CPU."""

    def read(self) -> float:
        return time.perf_counter()

    def between(self, start: float, end: float) -> float:
        return end - start


class CudaClock:
    """Seconds on a GPU, from events in the stream, which do not stop it. Synchronise before ``Marks.split``."""

    def read(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, start: torch.cuda.Event, end: torch.cuda.Event) -> float:
        return start.elapsed_time(end) / 1e3


def clock_of(device: torch.device) -> Clock:
    """The clock for a device."""
    return CudaClock() if device.type == "cuda" else CpuClock()


class Marks:
    """The marks of one model. They cost time only while a clock runs.

    Args:
        model: the model; without stages in its system's record, only the parts after the model have marks.
        first: the part before the first stage: "input", or "text" in training.
    """

    def __init__(self, model: nn.Module, first: str = "input"):
        self._clock: Clock | None = None
        self._readings: list[tuple[str, Any]] = []
        stages = stage_modules(model)
        self._order = (first, *stages, *AFTER)
        for place, (name, module) in enumerate(stages.items()):
            if place == 0:
                module.register_forward_pre_hook(lambda *_: self.pass_by(first))
            module.register_forward_hook(lambda *_, name=name: self.pass_by(name))

    def start(self, clock: Clock) -> None:
        """Begin a run."""
        self._clock, self._readings = clock, [("", clock.read())]

    def pass_by(self, name: str) -> None:
        """Take a reading at a mark, if a clock runs."""
        if self._clock is not None:
            self._readings.append((name, self._clock.read()))

    def split(self) -> dict[str, Any]:
        """End the run, and return the amount of each part, in the order of the parts."""
        clock, readings, self._clock = self._clock, self._readings, None
        total: dict[str, Any] = {}
        for (_, start), (name, end) in zip(readings, readings[1:], strict=False):
            spent = clock.between(start, end)
            total[name] = total[name] + spent if name in total else spent
        return {name: total[name] for name in self._order if name in total}


def stage_modules(model: nn.Module) -> dict[str, nn.Module]:
    """The module that ends each stage of the model's system, by the stage's name."""
    taps = taps_of(model)
    return {stage: taps[tap].module for stage, tap in system_of_model(model).stages.items() if tap in taps}
