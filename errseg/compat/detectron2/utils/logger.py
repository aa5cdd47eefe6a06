"""Loggers that write to the console, in colour, and to a file."""

import copy
import functools
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

from termcolor import colored

from ..outside import outside
from .file_io import PathManager

__getattr__ = outside(globals())

__all__ = ["setup_logger"]


class _Formatter(logging.Formatter):
    """Puts ``levels[level]`` before the line, and shows ``shown`` for the logger's own ``name``."""

    def __init__(self, fmt: str, levels: Mapping[int, str], name: str = "", shown: str = "") -> None:
        super().__init__(fmt, datefmt="%m/%d %H:%M:%S")
        self._levels = levels
        self._prefix, self._shown = f"{name}.", f"{shown}." if shown else ""

    def formatMessage(self, record: logging.LogRecord) -> str:
        if record.name.startswith(self._prefix):
            record = copy.copy(record)  # other handlers keep the whole name
            record.name = self._shown + record.name.removeprefix(self._prefix)
        return self._levels.get(record.levelno, "") + super().formatMessage(record)


@functools.lru_cache  # a second call adds no second handler
def setup_logger(
    output: str | None = None,
    distributed_rank: int = 0,
    *,
    name: str = "detectron2",
    abbrev_name: str | None = None,
    enable_propagation: bool = False,
) -> logging.Logger:
    """Send a logger's messages to the console (rank 0 alone) and to a file.

    Args:
        output: a folder, which gets ``log.txt``, or a file that ends with .txt or .log; the name is extended by
            ``.rank{r}`` for rank r > 0. None: no file.
        distributed_rank: of this process.
        name: of the logger.
        abbrev_name: the console shows it instead of ``name``. None: "d2" for detectron2, else ``name``.
        enable_propagation: pass messages on to the parent loggers too.
    """
    logger = logging.getLogger(name)
    logger.setLevel(logging.DEBUG)
    logger.propagate = enable_propagation
    if abbrev_name is None:
        abbrev_name = "d2" if name == "detectron2" else name
    if distributed_rank == 0:
        levels = {
            logging.WARNING: colored("WARNING", "red", attrs=["blink"]) + " ",
            logging.ERROR: colored("ERROR", "red", attrs=["blink", "underline"]) + " ",
        }
        console = logging.StreamHandler(stream=sys.stdout)
        line = colored("[%(asctime)s %(name)s]: ", "green") + "%(message)s"
        console.setFormatter(_Formatter(line, levels, name, abbrev_name))
        logger.addHandler(console)
    if output is not None:
        filename = output if output.endswith((".txt", ".log")) else os.path.join(output, "log.txt")
        if distributed_rank > 0:
            filename += f".rank{distributed_rank}"
        PathManager.mkdirs(os.path.dirname(filename) or ".")
        file = logging.StreamHandler(_log_stream(filename))
        file.setFormatter(_Formatter("[%(asctime)s] %(name)s %(levelname)s: %(message)s", {}))
        logger.addHandler(file)
    return logger


@functools.cache  # loggers share a file
def _log_stream(filename: str) -> Any:
    return PathManager.open(filename, "a", buffering=1)
