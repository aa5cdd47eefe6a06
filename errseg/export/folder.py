"""An export is one folder, written beside its place first and moved there whole."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from errseg.errors import UsageError

__all__ = ["DESCRIPTION", "check_folder", "new_folder"]

DESCRIPTION = "preprocessing.json"  # written last, so that a folder that has it is whole
TEMPORARY = ".export.tmp"
# Every file that an export may hold, whatever its kind
FILES = ("model.onnx", "model.onnx.data", "model.pt2", "names.json", "text_embeddings.npy", "example.py", DESCRIPTION)


def check_folder(folder: Path, overwrite: bool) -> None:
    """Raise UsageError where a folder cannot be read, is a file, or holds something else than an export."""
    try:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"--out {folder} is a file; give a folder.")
        other = folder.is_dir() and any(path.name != TEMPORARY for path in folder.iterdir())
    except OSError as error:
        raise UsageError(f"--out {folder} cannot be read ({error.strerror or error}); give another folder.") from error
    if other and not overwrite and not _is_export(folder):
        raise UsageError(f"--out {folder} holds something else than an export; give another folder, or --overwrite.")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder whose files are in ``folder`` where all went well, and nowhere else.

    What an earlier export has left in ``folder`` goes; files that no export writes stay.

    Raises:
        UsageError: the folder cannot be written.
    """
    place = folder.resolve()
    # Within a folder that is there, which may be a file system of its own, across which nothing is renamed
    temporary = place / TEMPORARY if place.is_dir() else place.with_name(f".{place.name}{TEMPORARY}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
        temporary.mkdir(parents=True)
        yield temporary
        _move(temporary, place)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"--out {folder} cannot be written ({reason}); give another folder.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move(temporary: Path, folder: Path) -> None:
    """Move the files of ``temporary`` into ``folder``, the description last."""
    for path in temporary.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if not folder.exists():
        os.replace(temporary, folder)
        return
    (folder / DESCRIPTION).unlink(missing_ok=True)  # a folder without it is no whole export
    for name in FILES:
        if (temporary / name).exists():
            os.replace(temporary / name, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)


def _is_export(folder: Path) -> bool:
    try:
        content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "errseg" in content
