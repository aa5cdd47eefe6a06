"""Loggers that write to the console, in colour, and to a file; messages that are not repeated; small tables."""

import copy
import functools
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tabulate import tabulate
from termcolor import colored

from .file_io import PathManager

__all__ = ["setup_logger", "log_first_n", "log_every_n_seconds", "create_small_table"]

class _Formatter(logging.Formatter):
    """Abbreviates the logger's name, and puts ``levels[level]`` before the line."""

    def __init__(self, fmt: str, names: tuple[str, str], levels: Mapping[int, str] | None = None) -> None:
        super().__init__(fmt, datefmt="%m/%d %H:%M:%S")
        self._full, self._short = names
        self._levels = levels or {}

    def formatMessage(self, record: logging.LogRecord) -> str:
        record = copy.copy(record)  # other handlers see the full name
        if record.name.startswith(self._full + "."):
            record.name = (self._short + record.name[len(self._full) :]).lstrip(".")
        return self._levels.get(record.levelno, "") + super().formatMessage(record)


@functools.lru_cache  # a second call adds no second handler
def setup_logger(
    output: str | None = None,
    distributed_rank: int = 0,
    *,
    color: bool = True,
    name: str = "detectron2",
    abbrev_name: str | None = None,
    enable_propagation: bool = False,
    configure_stdout: bool = True,
) -> logging.Logger:
    """Send a logger's messages to the console (rank 0 alone) and to a file.

    Args:
        output: a folder, for ``log.txt`` in it, or a file ending in .txt or .log; rank r > 0 writes to ``….rank{r}``.
            None: no file.
        distributed_rank: of this process.
        color: colour the console, where it is a terminal.
        name: of the logger.
        abbrev_name: shown instead of ``name``; None: ``d2`` for ``detectron2``, else ``name``.
        enable_propagation: let parent loggers have the messages too.
        configure_stdout: write to the console.
    """
    logger = logging.getLogger(name)
    logger.setLevel(logging.DEBUG)
    logger.propagate = enable_propagation
    if abbrev_name is None:
        abbrev_name = "d2" if name == "detectron2" else name

    names = (name, abbrev_name)
    if configure_stdout and distributed_rank == 0:
        paint = colored if color else lambda text, *args, **kwargs: text
        levels = {
            logging.WARNING: paint("WARNING", "red", attrs=["blink"]) + " ",
            logging.ERROR: paint("ERROR", "red", attrs=["blink", "underline"]) + " ",
            logging.CRITICAL: paint("CRITICAL", "red", attrs=["blink", "underline"]) + " ",
        }
        console = logging.StreamHandler(stream=sys.stdout)
        console.setFormatter(_Formatter(paint("[%(asctime)s %(name)s]: ", "green") + "%(message)s", names, levels))
        logger.addHandler(console)
    if output is not None:
        filename = output if output.endswith((".txt", ".log")) else os.path.join(output, "log.txt")
        if distributed_rank > 0:
            filename += f".rank{distributed_rank}"
        PathManager.mkdirs(os.path.dirname(filename) or ".")
        file = logging.StreamHandler(_log_stream(filename))
        file.setFormatter(_Formatter("[%(asctime)s] %(name)s %(levelname)s: %(message)s", names))
        logger.addHandler(file)
    return logger


@functools.cache  # loggers share a file
def _log_stream(filename: str) -> Any:
    return PathManager.open(filename, "a", buffering=1)


_counts: Counter = Counter()
_times: dict[Any, float] = {}


def _caller() -> tuple[str, tuple[str, int]]:
    """Module name and (file, line) of what called this module's function."""
    frame = sys._getframe(2)
    name = frame.f_globals.get("__name__", "__main__")
    # A script's own logger, "__main__", has no handler.
    return "detectron2" if name == "__main__" else name, (frame.f_code.co_filename, frame.f_lineno)


def log_first_n(
    lvl: int, msg: str, n: int = 1, *, name: str | None = None, key: str | tuple[str, ...] = "caller"
) -> None:
    """Log only the first ``n`` times.

    Args:
        lvl: level of logging.
        msg: the message.
        n: how many times.
        name: of the logger; None: the caller's module.
        key: what is counted: calls from one line (``caller``), of one ``message``, or of both together.
    """
    module, line = _caller()
    keys = (key,) if isinstance(key, str) else tuple(key)
    identity = tuple(line if part == "caller" else msg for part in keys)
    _counts[identity] += 1
    if _counts[identity] <= n:
        logging.getLogger(name or module).log(lvl, msg)


def log_every_n_seconds(lvl: int, msg: str, n: int = 1, *, name: str | None = None) -> None:
    """Log a call from the same line unless the last one logged is less than ``n`` seconds old."""
    module, line = _caller()
    now = time.time()
    if now - _times.get(line, -float("inf")) >= n:
        logging.getLogger(name or module).log(lvl, msg)
        _times[line] = now


def create_small_table(small_dict: Mapping[str, float]) -> str:
    """A table of two rows: keys and values."""
    keys, values = zip(*small_dict.items(), strict=True)
    return tabulate(
        [values], headers=keys, tablefmt="pipe", floatfmt=".3f", stralign="center", numalign="center"
    )
