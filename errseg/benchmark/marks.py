"""Where the time of a run goes: marks that a model passes between the modules of the paper.

A reading is taken where the run begins and at each mark; what lies between two readings belongs to the later mark. The
same marks split time on the CPU, time on a GPU, and counts of work.
"""

import time
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import nn

PARTS = ("input", "text", "encoder", "CRM", "HSM", "ESCF", "GUD", "output", "loss", "backward", "optimizer")


class Clock(Protocol):
    """What is read at marks."""

    def read(self) -> Any:
        """A reading."""

    def between(self, start: Any, end: Any) -> Any:
        """How much lies between two readings, once the run is over."""


class CpuClock:
    """Seconds on a CPU."""

    def read(self) -> float:
        return time.perf_counter()

    def between(self, start: float, end: float) -> float:
        return end - start


class CudaClock:
    """Seconds on a GPU: events in the stream, which do not hold it up. Read the split after a synchronisation."""

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
    """The marks of one model; they cost nothing but while a clock runs.

    Args:
        model: an ``ERRSeg``.
        form: whose calls of the model's modules are marked, "fast" or "plain".
        first: what comes before the encoder: "input", or "text" in training.
    """

    def __init__(self, model: nn.Module, form: str, first: str = "input"):
        self._clock: Clock | None = None
        self._readings: list[tuple[str, Any]] = []
        for module, when, name in _places(model, form):
            name = first if name == "input" else name
            if when == "before":
                module.register_forward_pre_hook(lambda *_, name=name: self.pass_by(name))
            else:
                module.register_forward_hook(lambda *_, name=name: self.pass_by(name))

    def start(self, clock: Clock) -> None:
        """Begin a run."""
        self._clock, self._readings = clock, [("", clock.read())]

    def pass_by(self, name: str) -> None:
        """Take a reading at a mark, if a clock runs."""
        if self._clock is not None:
            self._readings.append((name, self._clock.read()))

    def split(self) -> dict[str, Any]:
        """End the run; how much of it belongs to each part, in the order of ``PARTS``."""
        clock, readings, self._clock = self._clock, self._readings, None
        total: dict[str, Any] = {}
        for (_, start), (name, end) in zip(readings, readings[1:], strict=False):
            spent = clock.between(start, end)
            total[name] = total[name] + spent if name in total else spent
        return {name: total[name] for name in PARTS if name in total}


def _places(model: nn.Module, form: str) -> Iterator[tuple[nn.Module, str, str]]:
    """Modules, whether the mark is before or after their call, and the part that ends there."""
    head = model.sem_seg_head
    yield model.backbone, "before", "input"
    yield model.backbone, "after", "encoder"
    if form == "fast":
        yield from ((head.crm, "after", "CRM"), (head.hsm, "after", "HSM"))
        yield from ((head.escf, "after", "ESCF"), (head.gud, "after", "GUD"))
        return
    # The plain form calls the layers in the paper's modules, not the modules
    stages = getattr(head.gud, "stages", None)
    yield getattr(head.hsm, "proj16", None) or head.hsm.proj, "before", "CRM"
    yield head.hsm.fuse, "after", "HSM"
    yield stages[0].up if stages else head.gud.head, "before", "ESCF"
    yield head.gud.head, "after", "GUD"
