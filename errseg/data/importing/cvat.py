"""CVAT's exports: "Segmentation mask 1.1" (labelmap.txt with RGB masks) and "CVAT for images 1.1" (XML)."""

from collections import Counter
from pathlib import Path
from typing import Any

from errseg.errors import UsageError, short
from errseg.safe_files import Element, read_bytes, read_xml

from ..names_file import CVAT
from ..pairing import LABEL_ENDINGS, find_files
from .layers import Color, Colored
from .plan import ImageFolders, Options, Picture, Region, Source, expect, pictures_of_masks, place_of, text_of
from .shapes import Polygons, Runs, Shape, ring_of

__all__ = ["is_cvat_xml", "read_cvat_masks", "read_cvat_xml", "read_labelmap"]

MOST_TEXT, MOST_XML = 1 << 20, 1 << 30  # bytes
LABELMAP = "label map"


def read_cvat_masks(path: Path, options: Options, content: Any = None) -> Source:
    """The masks of a folder with ``labelmap.txt``, ``SegmentationClass`` and, mostly, ``JPEGImages``.

    Raises:
        UsageError: a file or folder is missing or not as documented.
    """
    root = path.parent if path.is_file() else path
    colors = tuple(read_labelmap(options.colors or root / "labelmap.txt"))
    masks = options.masks or root / "SegmentationClass"
    expect(masks.is_dir(), masks, "is no folder; give the folder of the masks with --masks DIR")
    files = find_files(masks, LABEL_ENDINGS, "--mask-ending", str(root))
    if options.split:
        listing = root / "ImageSets/Segmentation" / f"{options.split}.txt"
        wanted = _lines(listing, "list of images")
        files = {stem: file for stem, file in files.items() if stem in wanted}
    expect(bool(files), masks, "holds no mask; give the folder of the masks with --masks DIR, or another --split")
    folders = ImageFolders(options.images, [root / "JPEGImages", root / "images", root])
    remedy = "give --images DIR"
    pictures, problems = pictures_of_masks(root, files, folders, lambda file: Colored(file, colors), remedy)
    return Source(list(dict.fromkeys(name for _, name in colors)), pictures, problems)


def read_labelmap(path: Path) -> list[tuple[Color, str]]:
    """The colours and names of a ``labelmap.txt``, whose lines are ``label:r,g,b:parts:actions``.

    Raises:
        UsageError: a line has another form or no colour, or two names have one colour.
    """
    pairs: list[tuple[Color, str]] = []
    for line in _lines(path, LABELMAP):
        if line.startswith("#"):
            continue
        match = CVAT.fullmatch(line)
        expect(match is not None, path, f"has the line {short(line)!r}, not label:r,g,b:parts:actions; correct it")
        assert match is not None
        values = line[len(match["name"]) + 1 :].split(":")[0].split(",")
        good = len(values) == 3 and all(value.isdecimal() and int(value) < 256 for value in values)
        expect(good, path, f"gives no colour to {match['name']!r}; add it, as in {match['name']}:255,0,0::")
        red, green, blue = map(int, values)
        pairs.append(((red, green, blue), text_of(match["name"])))
    counts = Counter(color for color, _ in pairs)
    twice = next((color for color, count in counts.items() if count > 1), None)
    expect(twice is None, path, f"gives the colour {twice} to two names; keep one")
    expect(bool(pairs), path, "holds no label; give one as label:r,g,b::")
    return pairs


def is_cvat_xml(path: Path) -> bool:
    """Whether a file begins as CVAT's XML does."""
    if path.suffix.lower() != ".xml" or not path.is_file():
        return False
    with path.open("rb") as file:
        return b"<annotations" in file.read(4096)


def read_cvat_xml(path: Path, options: Options, content: Any = None) -> Source:
    """Polygons and masks of "CVAT for images 1.1". ``z_order`` decides which of them is drawn later.

    Raises:
        UsageError: the file is not as documented, or no image is found.
    """
    root = read_xml(path, "annotation file", MOST_XML)
    names = [text_of(each.text) for label in root.every("label") for each in label.children if each.tag == "name"]
    folders = ImageFolders(options.images, [path.parent / "images", path.parent, path.parent.parent])
    images = [each for each in root.children if each.tag == "image"]
    expect(bool(images), path, "has no <image>; export the task as CVAT for images 1.1")
    pictures, missing, seen = [], [], set()
    for element in images:
        wanted = element.attributes.get("name", "")
        file = folders.find(wanted) if wanted else None
        if file is None:
            missing.append(wanted)
            continue
        sides = [element.attributes.get(side, "") for side in ("height", "width")]
        expect(all(side.isdecimal() for side in sides), path, f"has the image {wanted!r} without its size; add it")
        regions, faults = _regions(element)
        seen |= {region.name for region in regions}
        size = (int(sides[0]), int(sides[1]))
        pictures.append(Picture(place_of(wanted), file, size, tuple(regions), faults=tuple(faults)))
    if not pictures:
        raise folders.missing(path, missing)
    problems = [f"The image {name} of {path} is missing; restore it, or give --images DIR." for name in missing]
    return Source(list(dict.fromkeys(names)) or sorted(seen), pictures, problems)


def _regions(image: Element) -> tuple[list[Region], list[tuple[str, str]]]:
    found, faults = [], []
    for element in image.children:
        name = text_of(element.attributes.get("label"))
        shape = shape_of(element)
        if not name or isinstance(shape, str):
            faults.append((name or "(no name)", shape if isinstance(shape, str) else "it has no label"))
            continue
        order = element.attributes.get("z_order", "0")
        found.append((int(order) if order.lstrip("-").isdecimal() else 0, Region(name, shape)))
    return [region for _, region in sorted(found, key=lambda pair: pair[0])], faults


def shape_of(element: Element) -> Shape | str:
    """The shape of an element; a text says why there is none."""
    if element.tag == "polygon":
        points = [pair.split(",") for pair in element.attributes.get("points", "").split(";")]
        try:
            ring = ring_of([[float(value) for value in pair] for pair in points])
        except ValueError:
            ring = None
        return "its points are damaged" if ring is None else Polygons((ring,))
    if element.tag == "mask":
        places = [element.attributes.get(key, "") for key in ("left", "top", "width", "height")]
        counts = [value.strip() for value in element.attributes.get("rle", "").split(",")]
        if not all(value.isdecimal() and len(value) < 10 for value in (*places, *counts)):
            return "its run-length code is damaged"
        return Runs(tuple(map(int, counts)), *map(int, places))
    return f"it is a {element.tag}, which has no mask"


def _lines(path: Path, what: str) -> list[str]:
    text = read_bytes(path, what, MOST_TEXT).decode("utf-8-sig", "replace")
    if "�" in text:
        raise UsageError(f"The {what} {path} is not in UTF-8; save it so.")
    return [line.strip() for line in text.splitlines() if line.strip()]
