"""Files on this machine and in stores: addresses such as ``s3://bucket/a.jpg`` go through fsspec."""

import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from errseg.errors import UsageError, short
from errseg.safe_files import read_bytes

__all__ = [
    "Folder",
    "address_of",
    "explained_store",
    "is_address",
    "open_address",
    "read_file",
    "stamp_of",
    "system_of",
]

SCHEMES = ("abfs", "abfss", "az", "file", "gcs", "gs", "hdfs", "http", "https", "memory", "s3", "s3a")
RENAMING = ("file", "hdfs")  # a file of theirs is seen while it is written; an object of a store is not
MOST_BYTES = 1 << 30  # of a picture
SCRATCH = ".errseg-scratch-"  # a folder of outputs that are being written
REMEDY = "correct the address, or the access to the store"


def is_address(path: str) -> bool:
    """Whether a text is an address of a store, and no path of this machine."""
    return "://" in path


def system_of(address: str) -> tuple[Any, str]:
    """The file system of an address, an ``fsspec.AbstractFileSystem``, and the path in it.

    Raises:
        UsageError: its scheme is unknown, or the package that reads it is not installed.
    """
    scheme = address.partition("://")[0]
    if scheme not in SCHEMES or "::" in address:
        raise UsageError(f"{short(address)} is no address that errseg reads; give one of {', '.join(SCHEMES)}.")
    try:
        import fsspec

        return fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise UsageError(
            f"{short(address)} needs a package that is not installed ({short(error)}); install s3fs for s3, gcsfs for "
            "gs, adlfs for abfs, aiohttp for http."
        ) from error
    except Exception as error:  # each store has errors of its own for what it cannot connect to
        raise _unreachable(address, error) from error


@contextmanager
def explained_store(address: str) -> Iterator[None]:
    """Errors of a store, which has types of its own for them, become a UsageError that names the address."""
    try:
        yield
    except (UsageError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise UsageError(f"{short(address)} does not exist; correct the address.") from error
    except Exception as error:
        raise _unreachable(address, error) from error


def address_of(system: Any, path: str) -> str:
    """The address of a path in a file system."""
    return system.unstrip_protocol(path)


@contextmanager
def open_address(path: str) -> Iterator[Any]:
    """Open a file of this machine or of a store for reading, as a binary stream.

    Raises:
        UsageError: it cannot be read, within the context too.
    """
    with explained_store(path):
        if is_address(path):
            system, inner = system_of(path)
            with system.open(inner, "rb") as file:
                yield file
        else:
            with open(path, "rb") as file:
                yield file


def read_file(path: str, limit: int = MOST_BYTES) -> bytes:
    """The content of a file of this machine or of a store.

    Raises:
        UsageError: it cannot be read, or has more than ``limit`` bytes.
    """
    if not is_address(path):
        return read_bytes(path, "image", limit)
    with open_address(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise UsageError(f"The image {path} is larger than {limit} bytes, the limit; is it the right file?")
    return content


def stamp_of(info: dict[str, Any]) -> list[int]:
    """What shows a change of a file in a store: its size, and a digest of its ETag, time or version."""
    words = [str(info[key]) for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified", "created") if key in info]
    return [int(info.get("size") or 0), int(hashlib.sha256("|".join(words).encode()).hexdigest()[:12], 16)]


class Folder:
    """The output folder of a job, on this machine or in a store.

    Attributes:
        address: as the user gave it.
        local: its path; None where it is in a store.
    """

    def __init__(self, address: str):
        """
        Raises:
            UsageError: the store cannot be reached.
        """
        self.address = address.rstrip("/") or address
        self.local = None if is_address(address) else Path(address)
        if self.local is None:
            self._system, self._root = system_of(self.address)
            self._renames = address.partition("://")[0] in RENAMING

    def __str__(self) -> str:
        return self.address

    def files(self, below: str = "") -> set[str]:
        """The paths of all files in the folder, or in a folder of it.

        Raises:
            UsageError: the store cannot be reached.
        """
        if self.local is not None:
            found = (self.local / below).rglob("*")
            return {each.relative_to(self.local).as_posix() for each in found if each.is_file()}
        with explained_store(self.address):
            try:
                self._system.invalidate_cache()
                paths = self._system.find(f"{self._root}/{below}".rstrip("/"))
            except FileNotFoundError:
                return set()
        return {path[len(self._root) :].lstrip("/") for path in paths}

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder of this machine for outputs that are being written; ``put`` moves them to their places."""
        if self.local is not None:
            self.local.mkdir(parents=True, exist_ok=True)  # the same file system, so that moving is a renaming
        folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=self.local))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def remove_scratch(self) -> None:
        """Remove what workers that were killed have left."""
        for folder in [] if self.local is None else self.local.glob(f"{SCRATCH}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def put(self, source: Path, path: str) -> None:
        """Move a whole file of this machine to a path in the folder, where it appears whole.

        Raises:
            OSError: the disk of this machine cannot be written.
            UsageError: the store cannot be written.
        """
        if self.local is not None:
            target = self.local / path
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)
            return
        target = f"{self._root}/{path}"
        with explained_store(f"{self.address}/{path}"):
            if not self._renames:
                self._system.put_file(str(source), target)
                return
            self._system.makedirs(target.rpartition("/")[0], exist_ok=True)
            temporary = f"{target}.{uuid.uuid4().hex}.tmp"
            try:
                self._system.put_file(str(source), temporary)
                self._system.mv(temporary, target)
            finally:
                if self._system.exists(temporary):
                    self._system.rm_file(temporary)

    def get(self, path: str, target: Path) -> None:
        """Copy a file of the folder to this machine.

        Raises:
            UsageError: it cannot be read.
        """
        if self.local is not None:
            shutil.copyfile(self.local / path, target)
            return
        with explained_store(f"{self.address}/{path}"):
            self._system.get_file(f"{self._root}/{path}", str(target))

    def remove(self, path: str) -> None:
        """Remove a file of the folder; it may be gone already.

        Raises:
            UsageError: the store cannot be written.
        """
        if self.local is not None:
            (self.local / path).unlink(missing_ok=True)
            return
        with explained_store(f"{self.address}/{path}"), suppress(FileNotFoundError):
            self._system.rm_file(f"{self._root}/{path}")


def _unreachable(address: str, error: Exception) -> UsageError:
    return UsageError(f"{short(address)} cannot be used ({short(error, 200) or type(error).__name__}); {REMEDY}.")
