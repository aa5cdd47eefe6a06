"""Temporary folders: their size, deleting old files in them, and removing the folders of processes that have ended."""

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
except ImportError:  # Windows, where abandoned folders are not detected
    fcntl = None

__all__ = ["LOCK", "claim", "remove_abandoned", "stored", "sweep", "sweeping"]

LOCK = ".lock"  # a file in a folder; it is locked as long as the process of the folder runs

LEAST = 1 << 16  # least bytes that a file counts, because many small files fill a disk too
OFTEN = 60  # most seconds between two sweeps


def stored(folder: Path) -> int:
    """Bytes in a folder and its sub-folders; a small file counts as ``LEAST`` bytes."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):  # the file is being deleted
                total += max(LEAST, os.stat(os.path.join(place, name)).st_size)
    return total


def claim(folder: Path) -> IO:
    """Mark a folder as used by this process. The mark ends when the returned file is closed, or with the process."""
    file = (folder / f"{LOCK}.new").open("w")
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX)
    os.replace(file.name, folder / LOCK)  # so that a lock file that exists is always locked
    return file


def remove_abandoned(parent: Path, prefix: str) -> None:
    """Delete the folders that were claimed by a process of this user which no longer runs.

    Args:
        parent: the folder that holds them.
        prefix: the beginning of their names.
    """
    for folder in parent.glob(f"{prefix}*") if fcntl is not None else ():
        with suppress(OSError):  # the folder has no lock, or is in use, or another process is deleting it
            state = folder.lstat()
            if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid():
                continue
            with os.fdopen(os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW), "w") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path, seconds: float, *spare: Path) -> None:
    """Delete the files of a folder that were last written some seconds ago or earlier, and then empty sub-folders.

    Args:
        folder: the folder; it is not deleted itself.
        seconds: least age of a deleted file.
        spare: files that are kept, and sub-folders that are kept with their content.
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
        with suppress(OSError):  # the sub-folder is not empty
            if Path(place) != folder and os.stat(place).st_ctime <= before:
                os.rmdir(place)


@contextmanager
def sweeping(folder: Path, seconds: float, *spare: Path) -> Iterator[None]:
    """Sweep a folder regularly inside the context, in a separate thread."""
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
