"""Converting many images: in parallel, resumable after a kill, with a list of what could not be converted.

A file is written whole or not at all (:func:`errseg.atomic.replacing`); one that another program left half-written is
converted again. Two runs on the same folder take turns by a lock that the system drops when a run's last process ends.
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

LOCK_PATIENCE = 20.0  # seconds; the workers of a run that was killed are gone sooner
FEW = 8  # images that are not worth a process of their own


class Task(NamedTuple):
    """One image of a data set."""

    outputs: tuple[Path, ...]  # with all of these there, it is done; the last one is written last
    convert: Callable[[], Iterable[tuple[Path, np.ndarray]]]  # what to write, in this order


class Part(NamedTuple):
    """A split of a data set: listed, not yet converted."""

    title: str
    published: int  # images of the published split
    tasks: list[Task]
    note: str = ""  # something to say about it


class Outcome(NamedTuple):
    """What became of a part."""

    done_before: int
    converted: int
    problems: list[str]  # a sentence for each image that is not as it should be


def convert_part(part: Part, workers: int, force: bool = False) -> Outcome:
    """Convert what is not done yet.

    Args:
        part: what to convert.
        workers: processes.
        force: convert all of it anew; what was there is removed first, so that a kill leaves nothing old behind.

    Raises:
        UsageError: another run is at work there, or a worker was killed.
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
    """For each task None, or the sentence that says why it could not be done."""
    workers = min(workers, -(-len(tasks) // FEW))
    remedy = "run this again with fewer --workers: what is converted stays"
    return parallel_map(_attempt, tasks, workers, title, remedy, log_bar=True)


def _attempt(task: Task) -> str | None:
    try:
        for path, pixels in task.convert():
            write_image(path, pixels)
    except UsageError as error:
        return str(error)
    except OSError as error:  # reading has sentences of its own
        return f"{task.outputs[-1]} cannot be written ({error}); make room there or correct the permissions."
    return None


def _check_done(tasks: list[Task]) -> list[str]:
    """What is wrong with files that are there already; only what costs little is looked at."""
    problems = []
    for path in (path for task in tasks for path in task.outputs if path.suffix == ".tif"):
        try:
            check_sixteen_bits(path)
        except UsageError as error:
            problems.append(str(error))
    return problems


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder, which the workers that are forked meanwhile hold as well.

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
