"""LabelMe's JSON, one file for each image: polygons, rectangles, circles and masks."""

import math
import os
from pathlib import Path
from typing import Any

from errseg.errors import UsageError
from errseg.safe_files import read_json

from ..pairing import IMAGE_ENDINGS, visible_files
from .plan import ImageFolders, Options, Picture, Region, Source, expect, place_of, text_of
from .shapes import Bitmap, Circle, Polygons, Shape, ring_of

__all__ = ["is_labelme", "read_labelme"]

WHAT = "LabelMe file"
IGNORED, BACKGROUND = "__ignore__", "_background_"  # LabelMe's names of pixels that do not count, and of the background
LINES = ("line", "linestrip", "point", "points")


def is_labelme(content: Any) -> bool:
    """Whether the content of a JSON file is LabelMe's."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def read_labelme(path: Path, options: Options, content: Any = None) -> Source:
    """All files of LabelMe in a folder and its sub-folders, or one file.

    Raises:
        UsageError: a file is not as documented, or there is none.
    """
    files = [path] if path.is_file() else [Path(p) for p in visible_files(path) if p.lower().endswith(".json")]
    root = path.parent if path.is_file() else path
    given = ImageFolders(options.images, []) if options.images else None
    pictures, problems, names = [], [], set()
    for file in files:
        content = read_json(file, WHAT)
        if not is_labelme(content):
            problems.append(f"The file {file} is none of LabelMe, which has shapes and imagePath; take it away.")
            continue
        picture = _picture(file, root, given, content)
        if isinstance(picture, str):
            problems.append(picture)
            continue
        names |= {region.name for region in picture.regions}
        pictures.append(picture)
    if not pictures:
        raise UsageError(problems[0] if problems else f"The folder {path} holds no file of LabelMe; correct the path.")
    return Source(sorted(names - {""}), pictures, problems)


def _picture(file: Path, root: Path, given: ImageFolders | None, content: dict[str, Any]) -> Picture | str:
    """The picture of a file; a text says why there is none."""
    wanted = text_of(content["imagePath"])
    image = _image_of(file, given, wanted) if wanted else None
    data = content.get("imageData")
    if image is None and not (isinstance(data, str) and data):
        return f"The image {wanted} of {file} is missing; restore it, or give its folder with --images DIR."
    sides = (content.get("imageHeight"), content.get("imageWidth"))
    size = sides if all(type(side) is int for side in sides) else None
    place = place_of((file.relative_to(root).with_suffix("") / "").as_posix() + (Path(wanted).suffix or ".jpg"))
    regions, faults = [], []
    for shape in content["shapes"]:
        expect(isinstance(shape, dict), file, "has a shape that is no object; correct it")
        name = text_of(shape.get("label"))
        made = shape_of(shape)
        if not name:
            faults.append(("(no name)", "it has no label"))
        elif isinstance(made, str):
            faults.append((name, made))
        else:
            known = {IGNORED: "", BACKGROUND: "background"}
            regions.append(Region(known.get(name, name), made))
    return Picture(place, image or "", size, tuple(regions), None, "" if image else data, tuple(faults))


def _image_of(file: Path, given: ImageFolders | None, wanted: str) -> str | None:
    """The path of an image. LabelMe gives it relative to the JSON file, often in a folder beside that of the file."""
    if given is not None:
        return given.find(wanted)
    path = os.path.normpath(file.parent / wanted.replace("\\", "/"))
    if path.lower().endswith(IMAGE_ENDINGS) and os.path.isfile(path):
        return path
    return ImageFolders(None, [file.parent, file.parent / "images"]).find(wanted)


def shape_of(shape: dict[str, Any]) -> Shape | str:
    """The shape of an entry of ``shapes``; a text says why there is none."""
    kind, ring = shape.get("shape_type") or "polygon", ring_of(shape.get("points"))
    if kind in LINES:
        return f"it is a {kind}, which has no area"
    if ring is None or len(ring) < 4:
        return "its points are damaged"
    if kind in ("polygon", "oriented_rectangle"):
        return Polygons((ring,))
    x, y, right, bottom = ring[:4]
    if kind == "rectangle":
        return Polygons(((x, y, right, y, right, bottom, x, bottom),))
    if kind == "circle":
        return Circle(x, y, math.hypot(right - x, bottom - y))
    if kind == "mask" and isinstance(shape.get("mask"), str):
        return Bitmap(shape["mask"], round(min(x, right)), round(min(y, bottom)))
    return f"its shape_type {str(kind)[:40]!r} is unknown"
