"""How long and how much the temporary folder keeps, whoever wrote into it, and which folders nobody keeps any more."""

import os
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows, where no folder is known to be abandoned
    fcntl = None

__all__ = ["LOCK", "claim", "remove_abandoned", "stored", "sweep", "sweeping"]

LOCK = ".lock"  # in a folder: locked for as long as its process lives, whatever ends it

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


def claim(folder: Path) -> IO:
    """Mark a folder as that of this process; the mark ends with the file that is returned, or with the process."""
    file = (folder / f"{LOCK}.new").open("w")
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX)
    os.replace(file.name, folder / LOCK)  # so that a lock that is there is held
    return file


def remove_abandoned(parent: Path, prefix: str) -> None:
    """Delete the folders that were claimed by a process of this user that is gone.

    Args:
        parent: holds the folders.
        prefix: of their names.
    """
    for folder in parent.glob(f"{prefix}*") if fcntl is not None else ():
        with suppress(OSError):  # it has no lock, it is held, or another process is deleting it
            state = folder.lstat()
            if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid():
                continue
            with os.fdopen(os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW), "w") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path, seconds: float, *spare: Path) -> None:
    """Delete the files of a folder that have not been written for so many seconds, and folders that are empty then.

    Args:
        folder: stays itself.
        seconds: their least age.
        spare: files in it that stay, and folders with all in them.
    """
    before = time.time() - seconds
    for place, _, files in os.walk(folder, topdown=False):
        if any(Path(place) == each or each in Path(place).parents for each in spare):
            continue
        for name in files:
            path = os.path.join(place, name)
            with suppress(OSError):
                if Path(path) not in spare and os.lstat(path).st_mtime <= before:
                    os.unlink(path)
        with suppress(OSError):  # there is something in it
            if Path(place) != folder and os.stat(place).st_ctime <= before:
                os.rmdir(place)


@contextmanager
def sweeping(folder: Path, seconds: float, *spare: Path) -> Iterator[None]:
    """Sweep a folder every now and then, in a thread of its own."""
    end = threading.Event()

    def work() -> None:
        while not end.wait(min(seconds, OFTEN)):
            sweep(folder, seconds, *spare)

    thread = threading.Thread(target=work, name="sweeping", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
