"""Convert many images: in parallel, resumable after a kill, with a list of those that could not be converted.

A file is written whole or not at all (:func:`errseg.atomic.replacing`); a file that another program left half-written
is converted again. A lock lets one run at a time convert to a folder; the system drops it when the run's last process
ends.
"""

import fcntl
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from errseg.errors import UsageError

from ..parallel import parallel_map
from .raw import check_sixteen_bits, is_whole, write_image

__all__ = ["Outcome", "Part", "Task", "convert_part"]

LOCK_PATIENCE = 20.0  # seconds to wait for the lock; the workers of a killed run end sooner
FEW = 8  # images; fewer are not worth a process of their own


class Task(NamedTuple):
    """One image of a data set."""

    outputs: tuple[Path, ...]  # when all of these exist, the task is done; the last one is written last
    convert: Callable[[], Iterable[tuple[Path, np.ndarray]]]  # what to write, in this order


class Part(NamedTuple):
    """A split of a data set: listed, not yet converted."""

    title: str
    published: int  # images of the published split
    tasks: list[Task]
    note: str = ""  # a sentence about it for the user


class Outcome(NamedTuple):
    """The result of converting a split."""

    done_before: int
    converted: int
    problems: list[str]  # a sentence for each image that has one


def convert_part(part: Part, workers: int, force: bool = False) -> Outcome:
    """Convert the images of a split that are not done yet.

    Args:
        part: the split.
        workers: number of processes.
        force: convert every image again; existing outputs are removed first, so that no old one is left after a kill.

    Raises:
        UsageError: another run is converting to the same folder, or a worker was killed.
    """
    counts = Counter(path for task in part.tasks for path in task.outputs)
    if counts and max(counts.values()) > 1:
        twice = max(counts, key=counts.get)
        raise UsageError(f"{part.title} lists two images for {twice}; its list is damaged: unpack it again.")
    folders = sorted({path.parent for path in counts})
    with ExitStack() as stack:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_locked(folder))
            for left_over in filter(Path.is_file, folder.glob("*.tmp")):
                left_over.unlink()
        if force:
            for path in counts:
                path.unlink(missing_ok=True)
        there = {path for folder in folders for path in folder.iterdir()}
        done, tasks = [], []
        for task in part.tasks:
            is_done = all(path in there and is_whole(path) for path in task.outputs)
            (done if is_done else tasks).append(task)
        problems = _check_done(done)
        failures = [sentence for sentence in _convert(tasks, workers, part.title) if sentence]
    return Outcome(len(done), len(tasks) - len(failures), problems + failures)


def _convert(tasks: list[Task], workers: int, title: str) -> Iterator[str | None]:
    """For each task, None or the sentence that says why it failed."""
    workers = min(workers, -(-len(tasks) // FEW))
    remedy = "run this again with fewer --workers: what is converted stays"
    return parallel_map(_attempt, tasks, workers, title, remedy, log_bar=True)


def _attempt(task: Task) -> str | None:
    try:
        for path, pixels in task.convert():
            write_image(path, pixels)
    except UsageError as error:
        return str(error)
    except OSError as error:  # of writing; errors of reading are UsageErrors
        return f"{task.outputs[-1]} cannot be written ({error}); make room there or correct the permissions."
    return None


def _check_done(tasks: list[Task]) -> list[str]:
    """The problems of outputs that exist already; only cheap checks are made."""
    problems = []
    for path in (path for task in tasks for path in task.outputs if path.suffix == ".tif"):
        try:
            check_sixteen_bits(path)
        except UsageError as error:
            problems.append(str(error))
    return problems


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; workers that are forked meanwhile hold it too.

    Raises:
        UsageError: another run holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                raise UsageError(f"Another run is converting to {folder}; wait for its end, or end it.") from None
            except OSError:
                pass  # a file system without locks
            break
        yield
    finally:
        os.close(descriptor)
