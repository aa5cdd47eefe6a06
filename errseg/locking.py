"""One process at a time in an output folder."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import UsageError, short

try:
    import fcntl
except ImportError:  # no POSIX system: folders are not locked there
    fcntl = None

__all__ = ["LOCK", "holds", "locked"]

LOCK = ".errseg-lock"

_held: set[str] = set()  # the real paths of the folders that this process has locked


@contextmanager
def locked(folder: str | os.PathLike, key: str) -> Iterator[None]:
    """Keep other processes, and other runs in this process, out of an output folder within the context.

    The lock is the operating system's: it ends with the process, even after a crash, and forked data workers do not
    inherit it. The folder is created if it is missing.

    Args:
        folder: of the outputs.
        key: names the folder in messages, such as "OUTPUT_DIR" or "--out".

    Raises:
        UsageError: another run is at work in the folder.
        OSError: the folder cannot be made or written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    real = os.path.realpath(folder)
    if real in _held:
        raise UsageError(f"{key} = {folder} is in use by another run of this process; give each a folder of its own.")
    with open(folder / LOCK, "a+", encoding="utf-8") as file:
        _lock(file, folder, key)
        _held.add(real)
        try:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            yield
        finally:
            _held.discard(real)
            with suppress(OSError):
                file.truncate(0)  # the file stays: removing it would let two processes hold two locks


def holds(folder: str | os.PathLike) -> bool:
    """Whether this process has locked a folder."""
    return os.path.realpath(folder) in _held


def _lock(file, folder: Path, key: str) -> None:
    if fcntl is None:
        return
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.seek(0)
        holder = short(file.read(200)) or "another process"
        raise UsageError(
            f"{key} = {folder} is in use by {holder}; wait for its end, or give another folder."
        ) from error
    except OSError:  # a file system without locks
        return
