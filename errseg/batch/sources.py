"""Find the pictures and videos that the arguments of a command name: files, folders and patterns."""

import glob
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from errseg.data.pairing import IMAGE_ENDINGS, left_out, visible_files
from errseg.errors import UsageError

__all__ = ["Source", "find_sources", "is_video", "problem"]

PICTURES = (*IMAGE_ENDINGS, ".gif", ".jp2", ".ppm")  # in a folder; a file that is named may have another ending
VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")
TEXTS = (".json", ".txt", ".md", ".csv", ".xml", ".yaml", ".yml", ".html", ".npz", ".pdf", ".svg")  # not pictures
OURS = (
    "_overlay.png",
    "_labels.png",
    "_overlay.mp4",
    "_panoptic.png",
)  # files of the output folder with these endings are no inputs


class Source(NamedTuple):
    """A picture or a video."""

    path: str
    root: str  # the folder that was given, or the folder of the file that was given

    @property
    def is_video(self) -> bool:
        return is_video(self.path)

    @property
    def place(self) -> str:
        """The path below the root, with ``/`` and without the ending."""
        return Path(self.path).relative_to(self.root).with_suffix("").as_posix()

    @property
    def key(self) -> str:
        """The absolute path; the address of a picture in a store, such as ``s3://bucket/a.jpg``."""
        return self.path if "://" in self.path else os.path.abspath(self.path)

    def stamp(self, every: int) -> list[int]:
        """Size and time of the file, and ``every`` of a video: they show a change. Empty if there is no file."""
        try:
            state = os.stat(self.path)
        except OSError:
            return []
        return [state.st_size, state.st_mtime_ns, *([every] if self.is_video else [])]


def problem(path: str, reason: object) -> str:
    """The message for an input that failed."""
    return str(reason) if path in str(reason) else f"{path}: {reason}"


def is_video(path: str) -> bool:
    """Whether a file is a video, by the ending of its name."""
    return path.lower().endswith(VIDEOS)


def find_sources(arguments: Sequence[str], out: str | Path, ours: tuple[str, ...] = OURS) -> list[Source]:
    """The pictures and videos that arguments name, each once, in order.

    Args:
        arguments: files; folders, with their sub-folders but without hidden files; patterns such as
            ``photos/**/*.jpg``.
        out: the folder of the outputs. Outputs that a folder or a pattern finds there are left out.
        ours: the endings of the outputs.

    Raises:
        UsageError: an argument is no file, folder or pattern, or names no picture and no video.
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
    """The pictures and videos in a folder, sorted by name. A warning counts the other files."""
    paths = list(visible_files(folder))
    if others := left_out(paths, (*PICTURES, *VIDEOS, *TEXTS)):
        logging.getLogger(__name__).warning("%s: %s", folder, others)
    for path in paths:
        if path.lower().endswith((*PICTURES, *VIDEOS)):
            yield Source(path, root)


def _match(pattern: str) -> Iterator[Source]:
    """The pictures and videos that a pattern matches. The root is the folder before the first wildcard."""
    parts = Path(pattern).parts
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), None)
    if fixed is None:
        return
    root = os.path.join(*parts[:fixed]) if fixed else ""
    for path in sorted(glob.glob(pattern, recursive=True)):
        if os.path.isdir(path):
            if not pattern.endswith("**"):  # ``**`` also matches the files below
                yield from _walk(path, root)
        elif path.lower().endswith((*PICTURES, *VIDEOS)):
            yield Source(path, root)


def _is_ours(source: Source, out: str | Path, ours: tuple[str, ...]) -> bool:
    return source.path.endswith(ours) and Path(source.key).is_relative_to(os.path.abspath(out))


def _nothing(argument: str, path: str) -> str:
    if "://" in argument:
        return f"{argument} is an address on the web or in a store; give --engine ray, which reads it, or download it."
    if os.path.isdir(path):
        return f"The folder {argument} holds no pictures ({', '.join(PICTURES)}) and no videos; give another."
    if glob.has_magic(argument):
        return f"The pattern {argument} matches no picture and no video; correct it."
    return f"There is no picture, video or folder {argument}; correct the path."
