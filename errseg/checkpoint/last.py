"""The weights in a folder: of a run, whose ``last_checkpoint`` names its newest checkpoint, or of a saved model."""

import os
from pathlib import Path

from ..errors import UsageError
from ..hub import WEIGHTS
from ..safe_files import read_bytes

__all__ = ["TAG", "last_checkpoint", "newest_checkpoint", "weights_in"]

TAG = "last_checkpoint"
FINAL = "model_final.pth"
MOST_BYTES = 1024  # of the tag: a file's name has at most 255


def last_checkpoint(folder: str | Path) -> str:
    """The path of the checkpoint that ``<folder>/last_checkpoint`` names; "" where there is no such tag.

    Raises:
        UsageError: the tag is no regular file, or holds something other than the name of a file in the folder.
    """
    tag = Path(folder) / TAG
    if not os.path.lexists(tag):
        return ""
    content = read_bytes(tag, "tag", MOST_BYTES)
    try:
        name = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        name = ""
    if not name or name in (".", "..") or not name.isprintable() or any(mark in name for mark in "/\\:"):
        raise UsageError(
            f"{tag} must hold the name of a checkpoint in its folder, such as model_final.pth, but holds "
            f"{content[:60]!r}; write such a name into it, or remove it."
        )
    if not (Path(folder) / name).is_file():
        newest = newest_checkpoint(folder)
        remedy = f"write the name of a checkpoint into it, such as {newest.name}, the newest, or " if newest else ""
        raise UsageError(f"{tag} names {name!r}, which is not there; {remedy}remove it.")
    return os.path.join(folder, name)


def newest_checkpoint(folder: str | Path) -> Path | None:
    """The checkpoint that was written last in a folder, regardless of the tag; None where there is none."""
    found = [path for path in Path(folder).glob("model_*.pth") if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def weights_in(folder: str | Path) -> str:
    """The path of the weights in a folder: the last of a run, or those of a model that was saved.

    ``last_checkpoint`` counts before a ``model_final.pth``, which may be of an earlier run in the same folder.

    Raises:
        UsageError: there are none; or see ``last_checkpoint``.
    """
    newest = last_checkpoint(folder)
    if newest:
        return newest
    for name in (FINAL, WEIGHTS):
        if (Path(folder) / name).is_file():
            return os.path.join(folder, name)
    raise UsageError(f"The run {folder} has no checkpoint yet; give weights, or wait for one.")
