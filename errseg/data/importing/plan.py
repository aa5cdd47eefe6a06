"""What a reader of a format makes of a source: names, and pictures with their regions."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from errseg.errors import UsageError, short

from ..pairing import IMAGE_ENDINGS, visible_files
from .layers import Layer
from .shapes import Shape

__all__ = [
    "ImageFolders",
    "Options",
    "Picture",
    "Region",
    "Source",
    "expect",
    "pictures_of_masks",
    "place_of",
    "text_of",
]

MOST_JSON = 2 << 30  # bytes; LVIS's largest file has 1.1 GB, COCO's instances of 2017 have 450 MB


class Options(NamedTuple):
    """What a user may say about a source."""

    images: Path | None = None  # folder of the images; None: it is found
    masks: Path | None = None  # folder of the masks, for formats that have one
    names: Path | None = None  # file of names in the order of the ids
    colors: Path | None = None  # table of colours
    split: str | None = None  # of a source with several
    mask_ending: str | None = None  # such as _L.png
    overlap: str = "later"  # which region wins: "later" or "smaller"
    background: str | None = None  # name of the pixels without a region; None: they do not count
    ignore: tuple[str, ...] = ()  # names whose regions do not count
    copy: bool = False  # copy the images; False: link them


class Region(NamedTuple):
    """A part of a picture with one name."""

    name: str  # "": it does not count
    shape: Shape


class Picture(NamedTuple):
    """One picture of a source: regions in the order in which they are drawn, or a whole layer."""

    place: str  # path of its image in the source, with "/" and the ending; messages name it, and its output follows it
    image: str  # path of its image
    size: tuple[int, int] | None = None  # (height, width) of the annotation; None: the image's
    regions: tuple[Region, ...] = ()
    layer: Layer | None = None
    embedded: str = ""  # the image in base64, where it is in the annotation alone
    faults: tuple[tuple[str, str], ...] = ()  # name and reason of each region that the reader dropped


class Source(NamedTuple):
    """All that a reader has found."""

    names: list[str]  # in the order of their ids
    pictures: list[Picture]
    problems: list[str]  # a sentence for each picture that is left out
    notes: Sequence[str] = ()  # what a user should know


class ImageFolders:
    """Finds the images that an annotation names, in the folders where they may be.

    Args:
        given: the folder that the user gives, in which a file's name alone is enough; None: ``likely``.
        likely: folders where images usually are, the most likely first.
        option: that gives the folder, for messages.
    """

    def __init__(self, given: Path | None, likely: Iterable[Path], option: str = "--images"):
        if given is not None and not given.is_dir():
            raise UsageError(f"{option} {given} is no folder; correct the path.")
        self.option, self._searched = option, given is not None
        self.folders = [given] if given else [folder for folder in dict.fromkeys(likely) if folder.is_dir()]
        self._by_name: dict[str, list[str]] | None = None

    def find(self, name: str) -> str | None:
        """The path of an image: at its relative path, or of its file name where only one file has it; None: missing."""
        parts = name.replace("\\", "/").split("/")
        if ".." not in parts and "\0" not in name:
            for folder in self.folders:
                path = os.path.join(folder, name.replace("\\", "/").lstrip("/"))
                if os.path.isfile(path):
                    return path
        found = self._index().get(parts[-1], []) if self._searched else []
        return found[0] if len(found) == 1 else None

    def _index(self) -> dict[str, list[str]]:
        if self._by_name is None:
            by_name: dict[str, dict[str, str]] = {}
            for folder in self.folders:
                for path in visible_files(folder):
                    if path.lower().endswith(IMAGE_ENDINGS):
                        by_name.setdefault(os.path.basename(path), {})[os.path.realpath(path)] = path
            self._by_name = {name: list(paths.values()) for name, paths in by_name.items()}
        return self._by_name

    def missing(self, source: str | os.PathLike, names: Sequence[str]) -> UsageError:
        """The error where none of the images is found."""
        looked = ", ".join(map(str, self.folders)) or "no folder"
        return UsageError(
            f"None of the {len(names)} images of {source}, the first being {short(names[0])}, is in "
            f"{short(looked, 300)}; give their folder with {self.option} DIR."
        )


def pictures_of_masks(
    source: Path, masks: Mapping[str, str], folders: ImageFolders, layer_of: Callable[[str], Layer], remedy: str
) -> tuple[list[Picture], list[str]]:
    """The pictures of masks that have the names of their images, and a sentence for each mask without an image.

    Args:
        source: for messages.
        masks: the file of each mask by its place without the ending.
        folders: of the images.
        layer_of: from the file of a mask to what is read.
        remedy: the end of the sentence.

    Raises:
        UsageError: no image is found.
    """
    endings = [*IMAGE_ENDINGS, *(ending.upper() for ending in IMAGE_ENDINGS)]
    pictures, problems = [], []
    for stem, mask in masks.items():
        image = next(filter(None, (folders.find(stem + ending) for ending in endings)), None)
        if image is None or image == mask:
            problems.append(f"The image of the mask {mask} is missing; restore it, or {remedy}.")
        else:
            pictures.append(Picture(place_of(stem + Path(image).suffix), image, layer=layer_of(mask)))
    if not pictures:
        raise folders.missing(source, list(masks))
    return pictures, problems


def expect(condition: bool, source: str | os.PathLike, what: str) -> None:
    """Raise UsageError if the content of a file is not as its format says.

    Args:
        condition: what must hold.
        source: the file.
        what: what is wrong, and a remedy, as the rest of a sentence after the file's name.
    """
    if not condition:
        raise UsageError(f"{source} {what}.")


def text_of(value: object) -> str:
    """A name as a source gives it: a text without blanks around it; "" for anything else."""
    return " ".join(value.split()) if isinstance(value, str) else ""


def place_of(name: str) -> str:
    """The place of an image's output from its name in a source: a relative path without ``..``."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in parts or name.startswith(("/", "\\")) or ":" in parts[0] or "\0" in name:
        parts = parts[-1:]
    return "/".join(parts)
