"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .failures import os_error_of

__all__ = ["replacing"]


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path, ``<path>.tmp``; it replaces ``path`` on success, and is removed after an exception.

    The folder of ``path`` is created if it is missing. Only one process at a time may write a path.

    Raises:
        OSError: the file cannot be written. Where a library, such as torch, raised its own error because of the
            system's, the system's error is raised, with the name of the file.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # on disk before it takes the old file's place
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        failure = os_error_of(error)
        if failure is None:
            raise
        if failure.filename is None:
            failure.filename = str(path)
        if failure is error:
            raise
        raise failure from None
    finally:
        with suppress(OSError):
            temporary.unlink()
