"""How long and how much the temporary folder keeps, whoever wrote into it.

gradio's own cleaning knows finished uploads alone: those that a visitor broke off would stay.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["stored", "sweep", "sweeping"]

LEAST = 1 << 16  # bytes that a file counts for: many small ones fill a disk too
OFTEN = 60  # seconds between two sweeps, or fewer


def stored(folder: Path) -> int:
    """Bytes in a folder and those under it."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):  # it is being deleted
                total += max(LEAST, os.stat(os.path.join(place, name)).st_size)
    return total


def sweep(folder: Path, seconds: float, spare: Path) -> None:
    """Delete the files of a folder that have not been written for so many seconds, and folders that are empty then.

    Args:
        folder: stays itself.
        seconds: their least age.
        spare: a folder in it that stays, with all in it.
    """
    before = time.time() - seconds
    for place, _, files in os.walk(folder, topdown=False):
        if Path(place) == spare or spare in Path(place).parents:
            continue
        for name in files:
            path = os.path.join(place, name)
            with suppress(OSError):
                if os.lstat(path).st_mtime <= before:
                    os.unlink(path)
        with suppress(OSError):  # there is something in it
            if Path(place) != folder and os.stat(place).st_ctime <= before:
                os.rmdir(place)


@contextmanager
def sweeping(folder: Path, seconds: float, spare: Path) -> Iterator[None]:
    """Sweep a folder every now and then, in a thread of its own."""
    end = threading.Event()

    def work() -> None:
        while not end.wait(min(seconds, OFTEN)):
            sweep(folder, seconds, spare)

    thread = threading.Thread(target=work, name="sweeping", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
