"""The folder of the text cache, and its files.

The files are safetensors with a checksum. A file is written whole under a name of its own and never changed. So several
processes can read and write the folder. Where it exceeds its limit, the files that were not used for the longest
time are removed.
"""

import logging
import os
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import UsageError, short
from ...weight_files import read_weight_file, write_safetensors

__all__ = ["LIMIT_VARIABLE", "VARIABLE", "TextFiles", "text_files"]

logger = logging.getLogger(__name__)

VARIABLE, LIMIT_VARIABLE = "ERRSEG_TEXT_CACHE", "ERRSEG_TEXT_CACHE_GB"
OFF = ("off", "0", "false", "no")
LIMIT_GB = 2.0
ABANDONED = 24 * 3600  # seconds after which a temporary file has no writer any more
CHECKSUM = "checksum"


def text_files() -> "TextFiles | None":
    """The folder $ERRSEG_TEXT_CACHE, or ``errseg/text`` in the user's cache folder.

    None where the variable is "off", and where the user has no home folder.

    Raises:
        UsageError: $ERRSEG_TEXT_CACHE_GB is no positive number.
    """
    chosen = os.environ.get(VARIABLE, "").strip()
    if chosen.lower() in OFF:
        return None
    limit = _limit()
    try:
        own = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "errseg" / "text"
        return TextFiles(Path(chosen).expanduser() if chosen else own, limit)
    except RuntimeError:  # the user has no home folder
        return None


def _limit() -> int:
    """The bytes that the folder may hold."""
    text = os.environ.get(LIMIT_VARIABLE) or str(LIMIT_GB)
    with suppress(ValueError):
        gigabytes = float(text)
        if 0 < gigabytes < 1e6:
            return int(gigabytes * 1e9)
    raise UsageError(f"{LIMIT_VARIABLE} = {short(text)!r}; give a number of gigabytes above 0, such as {LIMIT_GB:g}.")


class TextFiles:
    """The files of a folder.

    Args:
        folder: made when the first file is written.
        limit: bytes that all files may have together.
    """

    def __init__(self, folder: Path, limit: int):
        self.folder = folder
        self._limit = limit

    def named(self, pattern: str) -> list[Path]:
        """The files whose names, without the suffix, fit a pattern."""
        return sorted(self.folder.glob(f"{pattern}.safetensors"))

    def read(self, path: Path, names: Sequence[str]) -> dict[str, Tensor] | None:
        """The arrays of a file, mapped into memory.

        Args:
            path: one of ``named``.
            names: of the arrays that it must have, all of one length.

        Returns:
            None where another process has removed the file, and where it is damaged: then it is removed here, after a
            warning.
        """
        try:
            arrays: Any = read_weight_file(str(path))
            reason = _fault(arrays, names)
        except UsageError as error:
            if not path.exists():
                return None
            arrays, reason = None, "it " + short(str(error).removeprefix(f"{path} ").partition(";")[0], 200).rstrip(".")
        if not reason:
            return arrays
        logger.warning("The file %s of the text cache is damaged (%s); it is removed, and made again.", path, reason)
        with suppress(OSError):
            path.unlink()
        return None

    def keep(self, path: Path) -> None:
        """Note that a file is of use now."""
        with suppress(OSError):
            os.utime(path)

    def write(self, name: str, arrays: Mapping[str, Tensor]) -> None:
        """Write a file. Where the folder cannot be written, a warning says so."""
        checksum = torch.tensor([_checksum(arrays, list(arrays))])
        try:
            write_safetensors({**arrays, CHECKSUM: checksum}, self.folder / f"{name}.safetensors")
            self._trim()
        except OSError as error:
            reason = error.strerror or error
            message = "The text cache %s cannot be written (%s); set %s to another folder, or to off."
            logger.warning(message, self.folder, reason, VARIABLE)

    def _trim(self) -> None:
        """Remove files until the folder is within its limit."""
        files, total = [], 0
        for path in self.folder.glob("*.safetensors*"):
            with suppress(OSError):  # another process has removed it
                about = path.stat()
                if path.suffix == ".safetensors":
                    files.append((about.st_mtime, about.st_size, path))
                    total += about.st_size
                elif about.st_mtime < time.time() - ABANDONED:
                    path.unlink()
        for _, size, path in sorted(files):
            if total <= self._limit:
                return
            with suppress(OSError):
                path.unlink()
            total -= size


def _fault(arrays: Any, names: Sequence[str]) -> str:
    """What is wrong with the content of a file; empty: nothing."""
    if not isinstance(arrays, dict) or set(arrays) != {*names, CHECKSUM}:
        return f"it does not hold {', '.join(names)} and {CHECKSUM}"
    if not arrays[names[0]].ndim or any(arrays[name].shape[:1] != (len(arrays[names[0]]),) for name in names):
        return "its arrays do not fit together"
    return "" if arrays[CHECKSUM].tolist() == [_checksum(arrays, names)] else "its checksum is wrong"


def _checksum(arrays: Mapping[str, Tensor], names: Sequence[str]) -> int:
    total = 0
    for name in names:
        array = arrays[name].contiguous()
        total = zlib.crc32(f"{name} {array.dtype} {tuple(array.shape)}".encode(), total)
        content: Any = array.view(-1).view(torch.uint8).numpy()
        total = zlib.crc32(content, total)
    return total
