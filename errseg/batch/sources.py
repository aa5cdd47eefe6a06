"""Which pictures and videos a command line means: files, folders and patterns."""

import glob
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from errseg.data.pairing import IMAGE_ENDINGS, left_out, visible_files
from errseg.errors import UsageError

__all__ = ["Source", "find_sources", "is_video", "problem"]

PICTURES = (*IMAGE_ENDINGS, ".gif", ".jp2", ".ppm")  # in a folder; a file that is named may end otherwise
VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")
TEXTS = (".json", ".txt", ".md", ".csv", ".xml", ".yaml", ".yml", ".html", ".npz", ".pdf", ".svg")  # are no pictures
OURS = ("_overlay.png", "_labels.png", "_overlay.mp4")  # what lies in the output folder and ends so is no input


class Source(NamedTuple):
    """A picture or a video."""

    path: str
    root: str  # the folder that was given, or the file's

    @property
    def is_video(self) -> bool:
        return is_video(self.path)

    @property
    def place(self) -> str:
        """The path below the root, with ``/`` and without the ending."""
        return Path(self.path).relative_to(self.root).with_suffix("").as_posix()

    @property
    def key(self) -> str:
        """The absolute path."""
        return os.path.abspath(self.path)

    def stamp(self, every: int) -> list[int]:
        """What changes when the file does, or another share of a video's frames is asked for; empty for no file."""
        try:
            state = os.stat(self.path)
        except OSError:
            return []
        return [state.st_size, state.st_mtime_ns, *([every] if self.is_video else [])]


def problem(path: str, reason: object) -> str:
    """The sentence of an input that failed."""
    return str(reason) if path in str(reason) else f"{path}: {reason}"


def is_video(path: str) -> bool:
    """Whether a file is a video, by its name."""
    return path.lower().endswith(VIDEOS)


def find_sources(arguments: Sequence[str], out: str | Path, ours: tuple[str, ...] = OURS) -> list[Source]:
    """The pictures and videos that arguments mean, each once, in order.

    Args:
        arguments: files; folders, with their sub-folders, hidden files aside; patterns such as ``photos/**/*.jpg``.
        out: the folder of the outputs; what a folder or a pattern finds of them there is left out.
        ours: how the outputs end.

    Raises:
        UsageError: there is no such file or folder, or none holds a picture.
    """
    found: dict[str, Source] = {}
    for argument in arguments:
        path = os.path.expanduser(argument)
        if os.path.isfile(path):
            some = [Source(path, os.path.dirname(path))]
        elif os.path.isdir(path):
            some = [each for each in _walk(path, path) if not _is_ours(each, out, ours)]
        else:
            some = [each for each in _match(path) if not _is_ours(each, out, ours)]
        if not some:
            raise UsageError(_nothing(argument, path))
        for each in some:
            found.setdefault(each.key, each)
    return list(found.values())


def _walk(folder: str, root: str) -> Iterator[Source]:
    """The pictures and videos in a folder, by name; a line in the log counts the other files."""
    paths = list(visible_files(folder))
    if others := left_out(paths, (*PICTURES, *VIDEOS, *TEXTS)):
        logging.getLogger(__name__).warning("%s: %s", folder, others)
    for path in paths:
        if path.lower().endswith((*PICTURES, *VIDEOS)):
            yield Source(path, root)


def _match(pattern: str) -> Iterator[Source]:
    """What a pattern matches; the folders in it up to the first wildcard are the root."""
    parts = Path(pattern).parts
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), None)
    if fixed is None:
        return
    root = os.path.join(*parts[:fixed]) if fixed else ""
    for path in sorted(glob.glob(pattern, recursive=True)):
        if os.path.isdir(path):
            if not pattern.endswith("**"):  # whose matches hold the files below too
                yield from _walk(path, root)
        elif path.lower().endswith((*PICTURES, *VIDEOS)):
            yield Source(path, root)


def _is_ours(source: Source, out: str | Path, ours: tuple[str, ...]) -> bool:
    return source.path.endswith(ours) and Path(source.key).is_relative_to(os.path.abspath(out))


def _nothing(argument: str, path: str) -> str:
    if "://" in argument:
        return f"{argument} is an address on the web; download it, and give the file."
    if os.path.isdir(path):
        return f"The folder {argument} holds no pictures ({', '.join(PICTURES)}) and no videos; give another."
    if glob.has_magic(argument):
        return f"The pattern {argument} matches no picture and no video; correct it."
    return f"There is no picture, video or folder {argument}; correct the path."
