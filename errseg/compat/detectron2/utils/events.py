"""Scalars of a training: an ``EventStorage`` holds them, and writers print or save them."""

import datetime
import functools
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from fvcore.common.history_buffer import HistoryBuffer

from ..outside import outside

__getattr__ = outside(globals())

__all__ = [
    "EventStorage",
    "get_event_storage",
    "EventWriter",
    "CommonMetricPrinter",
    "TensorboardXWriter",
]

_storages: list["EventStorage"] = []  # innermost last


def get_event_storage() -> "EventStorage":
    """The storage of the innermost ``with EventStorage(...)`` around the caller."""
    if not _storages:
        raise AssertionError("get_event_storage() has to be called inside a 'with EventStorage(...)' context.")
    return _storages[-1]


class EventStorage:
    """Scalars by name and iteration, from ``start_iter`` on."""

    def __init__(self, start_iter: int = 0) -> None:
        self._iter = start_iter
        self._history: dict[str, HistoryBuffer] = defaultdict(HistoryBuffer)
        self._smoothing_hints: dict[str, bool] = {}
        self._latest: dict[str, tuple[float, int]] = {}
        self._prefix = ""
        self.images: list[tuple[str, Any, int]] = []  # name, picture and iteration, until a writer has written them

    def put_image(self, img_name: str, img_tensor: torch.Tensor | np.ndarray) -> None:
        """Add an RGB picture (3, H, W) for TensorBoard: float in [0, 1], or uint8."""
        self.images.append((img_name, img_tensor, self._iter))

    @contextmanager
    def name_scope(self, name: str) -> Iterator[None]:
        """Names of scalars that are put in this context begin with ``name/``."""
        before, self._prefix = self._prefix, name.rstrip("/") + "/"
        try:
            yield
        finally:
            self._prefix = before

    def put_scalar(self, name: str, value: float, smoothing_hint: bool = True, cur_iter: int | None = None) -> None:
        """Add a number, or a tensor with one element, for the current iteration or for ``cur_iter``.

        With ``smoothing_hint``, writers show the median over a window of iterations instead of the last value. Give
        the same hint at each call for a name.
        """
        name = self._prefix + name
        cur_iter = self._iter if cur_iter is None else cur_iter
        if self._smoothing_hints.setdefault(name, smoothing_hint) != smoothing_hint:
            raise AssertionError(f"Scalar {name} was put with a different smoothing_hint: use the same everywhere.")
        value = float(value)
        self._history[name].update(value, cur_iter)
        self._latest[name] = (value, cur_iter)

    def put_scalars(self, *, smoothing_hint: bool = True, cur_iter: int | None = None, **kwargs: float) -> None:
        """``put_scalar`` of each keyword."""
        for name, value in kwargs.items():
            self.put_scalar(name, value, smoothing_hint=smoothing_hint, cur_iter=cur_iter)

    def history(self, name: str) -> HistoryBuffer:
        """All values of ``name``, each with its iteration."""
        if name not in self._history:
            raise KeyError(f"No history metric available for {name}!")
        return self._history[name]

    def histories(self) -> dict[str, HistoryBuffer]:
        """The history of each name."""
        return self._history

    def latest(self) -> dict[str, tuple[float, int]]:
        """Each name's last value and its iteration."""
        return self._latest

    def latest_with_smoothing_hint(self, window_size: int = 20) -> dict[str, tuple[float, int]]:
        """Like ``latest``, but the median over the last iterations for scalars with a smoothing hint."""
        return {
            name: (self._history[name].median(self.count_samples(name, window_size)), cur_iter)
            if self._smoothing_hints[name]
            else (value, cur_iter)
            for name, (value, cur_iter) in self._latest.items()
        }

    def count_samples(self, name: str, window_size: int = 20) -> int:
        """Number of values of ``name`` in its last ``window_size`` iterations."""
        values = self._history[name].values()
        start = self._latest[name][1] - window_size
        return sum(cur_iter > start for _, cur_iter in values[-window_size:])

    def step(self) -> None:
        """Go to the next iteration."""
        self._iter += 1

    @property
    def iter(self) -> int:
        """The current iteration."""
        return self._iter

    @iter.setter
    def iter(self, value: int) -> None:
        self._iter = int(value)

    def __enter__(self) -> "EventStorage":
        _storages.append(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if not _storages or _storages[-1] is not self:
            raise AssertionError("Event storages must be left in the reverse order of entering them.")
        _storages.pop()


class EventWriter:
    """Prints or saves the scalars of the current storage."""

    def write(self) -> None:
        """Called at regular iterations, and once after training."""
        raise NotImplementedError

    def close(self) -> None:
        """Called after the last ``write``."""


class TensorboardXWriter(EventWriter):
    """Writes TensorBoard event files; scalars with a hint are smoothed over ``window_size`` iterations.

    The file in ``log_dir`` is created by the first write; ``kwargs`` are the ``SummaryWriter``'s.
    """

    def __init__(self, log_dir: str, window_size: int = 20, **kwargs: Any) -> None:
        self._arguments = {"log_dir": log_dir, **kwargs}
        self._window_size = window_size
        self._last_write = -1

    @functools.cached_property
    def _writer(self) -> Any:
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        return SummaryWriter(**self._arguments)

    def write(self) -> None:
        newest = self._last_write
        for name, (value, cur_iter) in get_event_storage().latest_with_smoothing_hint(self._window_size).items():
            if cur_iter > self._last_write:
                self._writer.add_scalar(name, value, cur_iter)
                newest = max(newest, cur_iter)
        self._last_write = newest
        for picture in get_event_storage().images:
            self._writer.add_image(*picture)
        get_event_storage().images.clear()

    def close(self) -> None:
        if "_writer" in vars(self):
            self._writer.close()


class CommonMetricPrinter(EventWriter):
    """Logs a line: remaining time (to ``max_iter``), iteration, losses, times, learning rate and GPU memory.

    Scalars with ``[metric]`` in their name follow the losses.
    """

    def __init__(self, max_iter: int | None = None, window_size: int = 20) -> None:
        self._logger = logging.getLogger(__name__)
        self._max_iter = max_iter
        self._window_size = window_size

    def write(self) -> None:
        storage = get_event_storage()
        if storage.iter == self._max_iter:  # training is over and its last iteration printed
            return
        parts = [f"iter: {storage.iter}"]
        if self._max_iter is not None and "time" in storage.histories():
            seconds = storage.history("time").median(1000) * (self._max_iter - storage.iter - 1)
            storage.put_scalar("eta_seconds", seconds, smoothing_hint=False)
            parts.insert(0, f"eta: {datetime.timedelta(seconds=int(seconds))}")
        for kind in ("loss", "[metric]"):
            for name in [name for name in storage.histories() if kind in name]:
                median = storage.history(name).median(storage.count_samples(name, self._window_size))
                parts.append(f"{name}: {median:.4g}")
        for name in ("time", "data_time"):
            if name in storage.histories():
                average = storage.history(name).avg(storage.count_samples(name, self._window_size))
                parts.append(f"{name}: {average:.4f}  last_{name}: {storage.history(name).latest():.4f}")
        latest = storage.latest()
        parts.append(f"lr: {latest['lr'][0]:.5g}" if "lr" in latest else "lr: N/A")
        if torch.cuda.is_available():
            parts.append(f"max_mem: {torch.cuda.max_memory_allocated() / 2**20:.0f}M")
        self._logger.info(" " + "  ".join(parts))
