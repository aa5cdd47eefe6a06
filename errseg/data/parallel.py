"""Apply one function to many files, in several processes, with a progress bar."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import cv2
from tqdm import tqdm

from errseg.errors import UsageError

__all__ = ["default_workers", "parallel_map"]

WINDOW = 16  # results waiting at a time, for each worker

Item = TypeVar("Item")
Result = TypeVar("Result")


def default_workers() -> int:
    """The CPUs that this process may use, at most 16: reading files gains little from more."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cpus, 16)


def parallel_map(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    description: str,
    remedy: str = "use fewer workers",
    log_bar: bool = False,
) -> Iterator[Result]:
    """Yield ``function(item)`` for every item, in order. Memory does not grow with the number of items.

    The first error ends the iteration.

    Args:
        function: can be sent to another process.
        items: its arguments, one for each call.
        workers: number of processes; below two: this process alone.
        description: title of the bar.
        remedy: what to do when a worker was killed, as the end of a sentence.
        log_bar: show the bar even without a terminal, so that the log of a long job has it.

    Raises:
        UsageError: a worker was killed.
    """
    results = map(function, items) if workers < 2 else _in_processes(function, items, workers, remedy)
    with tqdm(total=len(items), desc=description, unit="image", disable=not items if log_bar else None) as bar:
        for result in results:
            bar.update()
            yield result


def _in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, remedy: str
) -> Iterator[Result]:
    # Fork, as PyTorch's data workers do: a forked process imports nothing again.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    waiting = deque()
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= WINDOW * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise UsageError(f"One of {workers} processes was killed, perhaps for lack of memory; {remedy}.") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Leave Ctrl-C to the main process, and end when the main process ends, so that no orphan goes on writing."""
    cv2.setNumThreads(0)  # the processes already run in parallel
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
