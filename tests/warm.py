"""Processes of their own, with signals and exit statuses, without the seconds that importing errseg takes.

One server process imports errseg, and forks for each process that is started. What a process does when it is imported
from scratch is tested where a test starts Python itself.
"""

import functools
import multiprocessing
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing import start_processes

from errseg.data import register_all
from errseg.locking import locked

ROOT = Path(__file__).parents[1]
LIBRARIES = ["open_clip", "matplotlib.figure"]  # what errseg imports at their first use
PRELOAD = ["errseg.everything", "errseg.cli.training", "errseg.evaluation", "detectron2.engine", *LIBRARIES]


@functools.cache
def context() -> multiprocessing.context.BaseContext:
    """multiprocessing's context whose processes have imported errseg."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(PRELOAD)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), before]))  # it has no sys.path of ours
    forkserver.ensure_running()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before
    return made


class Program:
    """``function()`` as a program: ``sys.argv``, folder, environment and output of its own. As subprocess.Popen.

    Args:
        function: returns the exit status, or raises SystemExit; importable by its module and name.
        words: ``sys.argv[1:]``.
        folder: in which it works.
        log: a file for its output and its errors.
    """

    def __init__(self, function: Callable[[], int | None], words: list[Any], folder: Path, log: Path):
        log.touch()
        self.log = log
        arguments = (function, list(map(str, words)), folder, dict(os.environ), log)
        self._process = context().Process(target=_run, args=arguments)
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit status, negative after a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit status. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()


def _run(
    function: Callable[[], int | None], words: list[str], folder: Path, environment: Mapping[str, str], log: Path
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        stream.flush()
        os.dup2(file, number)
    sys.argv[1:] = words

    torch.set_num_threads(1)
    torch.multiprocessing.start_processes = _fork  # what Detectron2's launcher calls; it asks for new interpreters
    register_all()  # what DETECTRON2_DATASETS of this environment has
    sys.exit(function())


def _fork(*args: Any, **options: Any) -> Any:
    method = "spawn" if torch.cuda.is_available() else "fork"  # CUDA does not survive a fork
    return start_processes(*args, **{**options, "start_method": method})


def _run_script(path: str) -> None:
    sys.argv[0] = path
    runpy.run_path(path, run_name="__main__")


def run_script(path: Path, words: list[Any], folder: Path, log: Path) -> Program:
    """``python path words`` as a Program."""
    return Program(functools.partial(_run_script, str(path)), words, folder, log)


def quickly(*args: Any, **options: Any) -> Any:
    """``torch.multiprocessing.start_processes``, with processes that have imported errseg."""
    context()
    return start_processes(*args, **{**options, "start_method": "forkserver"})


def _hold(folder: Path, held: Any) -> None:
    with locked(folder, "OUTPUT_DIR"):
        held.set()
        time.sleep(60)


@contextmanager
def holding(folder: Path) -> Iterator[multiprocessing.process.BaseProcess]:
    """A process that has locked a folder; it is killed at the end."""
    held = context().Event()
    process = context().Process(target=_hold, args=(folder, held))
    process.start()
    try:
        assert held.wait(60)
        yield process
    finally:
        process.kill()
        process.join()
