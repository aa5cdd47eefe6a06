"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing"]


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path, ``<path>.tmp``, that takes the place of ``path`` where all went well and is removed else.

    The folder of ``path`` is made where it is missing. One process at a time writes a path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # on disk before it takes the old file's place
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
