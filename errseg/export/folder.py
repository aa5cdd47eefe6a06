"""Write the folder of an export: first to a temporary folder, then moved to its place."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from errseg.errors import UsageError

__all__ = ["DESCRIPTION", "check_folder", "new_folder"]

DESCRIPTION = "preprocessing.json"  # written last: a folder that has it is complete
TEMPORARY = ".export.tmp"
# Every file that an export of any kind may hold
MODELS = ("model.onnx", "model.onnx.data", "model.pt2", "model.bin", "model.xml")
FILES = (*MODELS, "names.json", "text_embeddings.npy", "example.py", DESCRIPTION)


def check_folder(folder: Path, overwrite: bool) -> None:
    """Raise UsageError where a folder cannot be read, is a file, or holds files that are not an export."""
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
    """Give a temporary folder. At the end its files are moved to ``folder``; after an error they are deleted.

    Files of an earlier export in ``folder`` are deleted; other files stay.

    Raises:
        UsageError: the folder cannot be written.
    """
    place = folder.resolve()
    # Inside an existing folder: it may be a mounted file system, and a rename works only within one file system
    temporary = place / TEMPORARY if place.is_dir() else place.with_name(f".{place.name}{TEMPORARY}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # left by a killed process
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
    (folder / DESCRIPTION).unlink(missing_ok=True)  # a folder without it is an incomplete export
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
