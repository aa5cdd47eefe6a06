"""Masks whose RGB colours stand for classes, with a table of the colours."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from errseg.errors import UsageError, short
from errseg.safe_files import read_bytes, read_json, read_yaml

from ..label_keys import color_of
from ..pairing import LABEL_ENDINGS, find_files
from .cvat import read_labelmap
from .layers import Color, Colored
from .plan import ImageFolders, Options, Source, expect, pictures_of_masks, text_of

__all__ = ["MASK_FOLDERS", "TABLES", "find_table", "read_colored", "read_colors"]

WHAT = "colour table"
TABLES = (
    "class_dict.csv",
    "label_colors.txt",
    "colors.json",
    "colors.yaml",
    "colors.csv",
    "colors.txt",
    "labelmap.txt",
)
MASK_FOLDERS = ("masks", "labels", "annotations", "SegmentationClass")
MOST = 1 << 20  # bytes
NAME_KEYS, COLOR_KEYS = ("name", "label", "class"), ("color", "colour", "rgb")


def find_table(folder: Path) -> Path | None:
    """The colour table that a folder holds under one of the usual names."""
    return next((folder / name for name in TABLES if (folder / name).is_file()), None)


def read_colored(path: Path, options: Options, content: Any = None) -> Source:
    """The masks of a folder, and the images of their names.

    Raises:
        UsageError: the table, the masks or the images are not found, or the table is not as documented.
    """
    table = options.colors or find_table(path)
    expect(table is not None, path, f"holds no {WHAT} ({', '.join(TABLES)}); give one with --colors FILE")
    assert table is not None
    colors = tuple(read_colors(table))
    masks = options.masks or next((path / name for name in MASK_FOLDERS if (path / name).is_dir()), None)
    expect(masks is not None, path, f"has none of the folders {', '.join(MASK_FOLDERS)}; give it with --masks DIR")
    assert masks is not None
    endings = (options.mask_ending.lower(),) if options.mask_ending else LABEL_ENDINGS
    files = find_files(masks, endings, "--mask-ending", str(path))
    expect(bool(files), masks, f"holds no file that ends in {', '.join(endings)}; correct --masks or --mask-ending")
    folders = ImageFolders(options.images, [path / "images", path / "JPEGImages", path])
    remedy = "give --images and --mask-ending"
    pictures, problems = pictures_of_masks(path, files, folders, lambda file: Colored(file, colors), remedy)
    return Source(list(dict.fromkeys(name for _, name in colors)), pictures, problems)


def read_colors(path: Path) -> list[tuple[Color, str]]:
    """The colours and names of a table. Several colours may have one name.

    JSON and YAML: ``{"cat": [255, 0, 0]}``, ``{"#ff0000": "cat"}``, or objects with a name and a color. Text: a name
    and three numbers a line, in either order, with commas, blanks or tabs; or CVAT's ``labelmap.txt``.

    Raises:
        UsageError: the table cannot be read, or a colour has two names.
    """
    if path.suffix.lower() in (".json", ".yaml", ".yml"):
        pairs = _of_data(read_json(path, WHAT) if path.suffix.lower() == ".json" else read_yaml(path, WHAT), path)
    elif re.search(rb"^[^\n]+:\d+,\d+,\d+:", read_bytes(path, WHAT, MOST), re.MULTILINE):
        pairs = read_labelmap(path)
    else:
        pairs = _of_text(path)
    known: dict[Color, str] = {}
    for color, name in pairs:
        expect(bool(name), path, f"gives no name to the colour {list(color)}; add it")
        first = known.setdefault(color, name)
        expect(first == name, path, f"gives the colour {list(color)} to {first!r} and {name!r}; keep one")
    expect(bool(pairs), path, "holds no colour; give a name and three numbers a line")
    return pairs


def _of_data(data: Any, path: Path) -> list[tuple[Color, str]]:
    if isinstance(data, dict):
        pairs = [(value, key) if color_of(key) is None else (key, value) for key, value in data.items()]
    elif isinstance(data, list) and all(isinstance(each, dict) for each in data):
        pairs = [(_first(each, COLOR_KEYS), _first(each, NAME_KEYS)) for each in data]
    else:
        raise UsageError(f"The {WHAT} {path} is no object; give one as {{'cat': [255, 0, 0]}}.")
    made = []
    for written, name in pairs:
        color = color_of(written)
        if color is None:
            raise UsageError(f"The {WHAT} {path} has {short(written)} for {short(name)}, no colour; give [255, 0, 0].")
        made.append((color, text_of(name)))
    return made


def _first(entry: dict[str, Any], keys: Sequence[str]) -> Any:
    return next((entry[key] for key in keys if key in entry), None)


def _of_text(path: Path) -> list[tuple[Color, str]]:
    try:
        text = read_bytes(path, WHAT, MOST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"The {WHAT} {path} is not in UTF-8; save it so.") from error
    pairs = []
    for number, line in enumerate(text.splitlines(), 1):
        words = [word.strip() for word in next(csv.reader([line]), [])] if "," in line else line.split()
        words = [word for word in words if word]
        if not words or line.startswith("#") or (number == 1 and not any(map(str.isdecimal, words))):
            continue  # a blank line, a comment, or the header
        numbers_first = all(map(str.isdecimal, words[:3]))
        numbers, name = (words[:3], words[3:]) if numbers_first else (words[-3:], words[:-3])
        color = color_of(", ".join(numbers)) if len(numbers) == 3 else None
        if color is None:
            raise UsageError(f"Line {number} of {path}, {short(line)!r}, has not a name and three numbers; correct it.")
        pairs.append((color, text_of(" ".join(name))))
    return pairs
