"""A data set of ultralytics: a YAML file with names, and a text file of polygons for each image."""

import os
from pathlib import Path
from typing import Any

from errseg.errors import UsageError, short
from errseg.safe_files import read_bytes, read_yaml

from ..files import read_image_size
from ..names_file import find_names
from ..pairing import IMAGE_ENDINGS, visible_files
from .plan import Options, Picture, Region, Source, expect, place_of
from .shapes import Polygons

__all__ = ["SPLITS", "is_ultralytics", "read_ultralytics"]

SPLITS = ("train", "val", "test")
MOST = 16 << 20  # bytes of a text file


def is_ultralytics(content: Any) -> bool:
    """Whether the content of a YAML file is that of ultralytics' data sets."""
    return isinstance(content, dict) and "names" in content and bool(set(SPLITS) & content.keys())


def read_ultralytics(path: Path, options: Options, content: Any = None) -> Source:
    """The images of one split. A line of a text file is a class and the points of a polygon, as shares of the sides.

    Raises:
        UsageError: a file is not as documented, or the split is not given where there are several.
    """
    content = read_yaml(path, "data-set file of ultralytics") if content is None else content
    expect(is_ultralytics(content), path, f"lacks names or {', '.join(SPLITS)}; give the YAML file of the data set")
    names = find_names(content["names"], f"names in {path}").names
    good = isinstance(names, list) and all(isinstance(name, str) and name.strip() for name in names)
    expect(good, path, "has names that are no list of texts; correct them")
    there = [split for split in SPLITS if content.get(split)]
    split = options.split or (there[0] if len(there) == 1 else "")
    expect(split in there, path, f"has the splits {', '.join(there)}; give one of them with --split")
    files = [file for entry in _listed(content[split]) for file in _images(path, content, entry)]
    if not files:
        raise UsageError(f"{path} has no image in its split {split}, {short(content[split])}; correct path or {split}.")
    common = Path(os.path.commonpath([os.path.dirname(file) for file in files]))
    pictures, problems = [], []
    for file in files:
        try:
            regions, faults = _regions(_label_of(file), file, names)
        except UsageError as error:
            problems.append(str(error))
            continue
        place = place_of(Path(file).relative_to(common).as_posix())
        pictures.append(Picture(place, file, None, tuple(regions), faults=tuple(faults)))
    return Source([name.strip() for name in names], pictures, problems)


def _listed(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str)]


def _images(path: Path, content: dict[str, Any], entry: str) -> list[str]:
    """The images of a folder, or of a text file that lists them."""
    root = path.parent / str(content.get("path") or "")
    place = next((place for place in (root / entry, path.parent / entry) if place.exists()), None)
    expect(place is not None, path, f"names {short(entry)!r}, which is not in {root}; correct path")
    assert place is not None
    if place.is_dir():
        return [file for file in visible_files(place) if file.lower().endswith(IMAGE_ENDINGS)]
    lines = read_bytes(place, "list of images", MOST).decode("utf-8", "replace").splitlines()
    return [os.path.join(place.parent, line.strip()) for line in lines if line.strip()]


def _label_of(image: str) -> str:
    """The text file of an image: the last folder named images becomes labels."""
    before, found, after = image.rpartition(f"{os.sep}images{os.sep}")
    return os.path.splitext(f"{before}{os.sep}labels{os.sep}{after}" if found else image)[0] + ".txt"


def _regions(path: str, image: str, names: list[str]) -> tuple[list[Region], list[tuple[str, str]]]:
    if not os.path.isfile(path):  # ultralytics takes it as an image without a region
        return [], []
    height, width = read_image_size(image)
    regions, faults = [], []
    for number, line in enumerate(read_bytes(path, "label file", MOST).decode("utf-8", "replace").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            index, values = int(float(words[0])), [float(word) for word in words[1:]]
        except (ValueError, OverflowError):
            raise UsageError(
                f"Line {number} of {path}, {short(line)!r}, is no class with numbers; correct it."
            ) from None
        if not 0 <= index < len(names):
            raise UsageError(
                f"Line {number} of {path} has the class {index}, but there are {len(names)} names; add it."
            )
        if len(values) == 4:
            faults.append((names[index].strip(), "it is a box, which has no mask"))
        elif len(values) < 6 or len(values) % 2 or not all(abs(value) < 1e6 for value in values):
            faults.append((names[index].strip(), "its points are damaged"))
        else:
            ring = tuple(value * (height if i % 2 else width) for i, value in enumerate(values))
            regions.append(Region(names[index].strip(), Polygons((ring,))))
    return regions, faults
