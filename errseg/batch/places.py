"""The places of outputs: a path below the output folder for each input, so that no two inputs share a file."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from .annotations.collect import FORMATS, PER_PICTURE
from .sources import Source, is_video

__all__ = ["LEDGER", "assign_places", "is_place", "outputs"]

LEDGER = "predict.json"  # in the output folder, see ledger.py
ENDINGS = {"overlay": "_overlay.png", "labels": "_labels.png", "json": ".json", "rle": "_rle.json"}


def is_place(place: Any) -> bool:
    """Whether a value is a path below the output folder: it is relative and has no ``..``."""
    if not isinstance(place, str) or not place or "\0" in place:
        return False
    kind = PureWindowsPath if os.name == "nt" else PurePosixPath
    return not kind(place).anchor and ".." not in kind(place).parts


def outputs(place: str, video: bool, formats: Sequence[str] = tuple(ENDINGS)) -> list[str]:
    """The paths of an input's outputs, below the output folder. A video has a folder for the files of its frames."""
    if not video:
        return [place + ENDINGS[each] for each in formats]
    return [f"{place}_overlay.mp4"] * ("overlay" in formats) + [f"{place}_frames"] * bool(set(formats) - {"overlay"})


def assign_places(
    sources: Sequence[Source], earlier: Mapping[str, str], endings: Sequence[str] = ()
) -> dict[Source, str]:
    """A place for each input: a path below the output folder, without the ending. All outputs have different paths.

    An input keeps its earlier place. A new input gets its path below its root. If another input has this place, the
    ending of the new input is added to its name (photo.jpg and photo.png), or its folder is put before the name
    (a/photo.jpg and b/photo.jpg), or a number is added.

    Args:
        sources: the inputs.
        earlier: the places of former inputs by their absolute paths.
        endings: the endings of further outputs, apart from those of this package; they must differ too.
    """
    taken = _Taken(endings)
    present = {source.key for source in sources}
    for key, place in earlier.items():
        if key not in present and ("://" in key or os.path.exists(key)):  # of another command; its outputs stay
            taken.add(place, key)
    places = {}
    for source in sorted(sources, key=lambda source: source.key not in earlier):  # first those that have a place
        candidates = _candidates(source, earlier.get(source.key), taken)
        places[source] = next(place for place in candidates if taken.add(place, source.key))
    return places


class _Taken:
    """The paths that are taken by outputs. Case is ignored, because some file systems ignore it."""

    def __init__(self, endings: Sequence[str] = ()):
        self.endings = endings
        self.owners: dict[str, str] = {LEDGER: "", **{row.file: "" for row in FORMATS.values() if row.file}}
        self.folders: set[str] = set()

    def add(self, place: str, owner: str) -> bool:
        """Take the paths of a place's outputs. If another input has one of them, take none and return False."""
        files = self.files(place, is_video(owner))
        folders = {str(folder) for path in files for folder in PurePosixPath(path).parents}
        if any(path in self.owners or path in self.folders for path in files) or folders & self.owners.keys():
            return False
        self.owners.update(dict.fromkeys(files, owner))
        self.folders |= folders
        return True

    def files(self, place: str, video: bool) -> list[str]:
        annotations = [] if video else [each.format(place) for each in PER_PICTURE]
        others = (*annotations, *(place + ending for ending in self.endings))
        return [path.lower() for path in (*outputs(place, video), *others)]

    def owner(self, source: Source) -> str:
        """The absolute path of the input whose output has the source's own place; "" where there is none."""
        files = self.files(source.place, source.is_video)
        return next((self.owners[path] for path in files if path in self.owners), "")


def _candidates(source: Source, earlier: str | None, taken: _Taken) -> Iterator[str]:
    if earlier:
        yield earlier
    yield source.place
    if os.path.dirname(taken.owner(source)) == os.path.dirname(source.key):
        yield f"{source.place}_{Path(source.path).suffix[1:]}"
    else:
        yield f"{Path(os.path.abspath(source.root)).name}/{source.place}".lstrip("/")
    number = 2
    while True:
        yield f"{source.place}_{number}"
        number += 1
