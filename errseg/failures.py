"""Messages for failures from outside a run: an output folder that cannot be written, and data workers that die."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import UsageError

__all__ = ["explained", "explanation", "os_error_of"]

REASONS = {  # why the system does not write a file, and the remedy
    errno.ENOSPC: ("the disk is full", "make room"),
    errno.EDQUOT: ("the quota of this user is used up", "make room"),
    errno.EFBIG: ("the file is larger than the limit of this process", "raise the limit (ulimit -f)"),
    errno.EROFS: ("the file system is read-only", "choose another folder"),
    errno.EACCES: ("this user may not write there", "correct the permissions, or choose another folder"),
    errno.EPERM: ("this user may not write there", "correct the permissions, or choose another folder"),
    errno.ENOTDIR: ("a file is in the place of a folder", "move the file away, or choose another folder"),
    errno.EEXIST: ("a file is in the place of a folder", "move the file away, or choose another folder"),
    errno.EISDIR: ("a folder is in the place of the file", "move it away, or choose another folder"),
    errno.ENOENT: ("its folder does not exist any more", "find out what removes it, or choose another folder"),
    errno.ENAMETOOLONG: ("the path is too long", "choose another folder"),
    errno.EIO: ("the disk reports an error", "check the disk, or choose another folder"),
    errno.ESTALE: ("the file server has lost the folder", "mount it again, or choose another folder"),
}
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)  # only writing causes these
_WORKER_REMEDIES = {  # by torch's message about a dead data worker
    r"Bus error|shared memory|/dev/shm|/torch_\d": (
        "a data worker found no room in shared memory (/dev/shm)",
        "give the container more (docker run --shm-size=8g, or --ipc=host), or lower DATALOADER.NUM_WORKERS; 0 needs "
        "none",
    ),
    r"Killed|Signals\.SIGKILL": (
        "a data worker was killed (SIGKILL), perhaps for lack of memory",
        "lower DATALOADER.NUM_WORKERS, or give the job more memory",
    ),
    r".": ("a data worker ended unexpectedly", "look for its message above, or try DATALOADER.NUM_WORKERS 0"),
}
_WORKER = re.compile(r"DataLoader worker|unable to (allocate|open|write|mmap|resize).{0,80}(shared memory|/torch_)")


def os_error_of(error: BaseException) -> OSError | None:
    """The system's error behind an exception: itself, its direct cause, or an earlier error of a full or failing disk.

    None where there is no such error.
    """
    failure, seen = error, set()
    while failure is not None and id(failure) not in seen:
        seen.add(id(failure))
        certain = failure is error or failure is error.__cause__
        if isinstance(failure, OSError) and (failure.errno in DISK or (certain and failure.errno is not None)):
            return failure
        failure = failure.__cause__ or failure.__context__
    return None


def explanation(error: Exception, folder: str | Path) -> UsageError | None:
    """The message for an exception, if it says that ``folder`` cannot be written or that a data worker died.

    Args:
        error: any exception.
        folder: where a run writes.

    Returns:
        An error with the message; None for any other exception.
    """
    failure = os_error_of(error)
    if failure is not None and _concerns(failure, Path(folder)):
        default = (str(failure.strerror or failure), "check the folder, or choose another one")
        reason, remedy = REASONS.get(failure.errno, default)
        target = failure.filename2 or failure.filename or folder
        return UsageError(f"{target} cannot be written, since {reason}; {remedy}, and start again.")
    if isinstance(error, RuntimeError) and _WORKER.search(str(error)):
        reason, remedy = next(words for said, words in _WORKER_REMEDIES.items() if re.search(said, str(error)))
        return UsageError(f"The data cannot be read further, since {reason}; {remedy}.")
    return None


@contextmanager
def explained(folder: str | Path) -> Iterator[None]:
    """Turn exceptions that :func:`explanation` knows into its ``UsageError``.

    Raises:
        UsageError: ``folder`` cannot be written, or a data worker died.
    """
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        sentence = explanation(error, folder)
        if sentence is None:
            raise
        raise sentence from error


def _concerns(error: OSError, folder: Path) -> bool:
    """Whether an error of the system is about a file in a folder, about the folder itself, or about one above it."""
    if not isinstance(error.filename, (str, bytes, Path)):  # of writing to an open file
        return error.filename is None and error.errno in DISK
    path = Path(error.filename.decode(errors="replace") if isinstance(error.filename, bytes) else error.filename)
    path, folder = path.absolute(), folder.absolute()
    return path.is_relative_to(folder) or folder.is_relative_to(path)
