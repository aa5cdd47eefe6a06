"""Read names from files, in the formats that are common in this field. The log tells how a file was read.

A text file holds one name a line. It may also have an id in each line (``1 wall``, ``wall: 1``), or be CVAT's
``labelmap.txt`` or LabelMe's ``labels.txt``. A JSON or YAML file holds a list of names, a name for each id
(``{"0": "cat"}``), objects with a ``name`` (CVAT's labels, COCO's categories), one of these under a key such as
``names`` (as in the YAML file of an ultralytics data set), or synonyms for each name. Ids are 0 to T - 1, or 1 to T. A
file that could be read in two ways is refused.
"""

import logging
import re
import reprlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from errseg.errors import UsageError
from errseg.safe_files import read_bytes, read_json, read_yaml

__all__ = ["FoundNames", "find_names", "read_names"]

MOST_BYTES = 16 << 20  # of a text file
WHAT = "file of names"
JSON, YAML = (".json",), (".yaml", ".yml")
ID_FIRST = re.compile(r"(?P<id>\d+)(?:\s*[:;,)]\s*|\.\s+|\s+)(?P<name>(?=.*[^\W\d_]).+)")  # 1 wall
ID_LAST = re.compile(r"(?P<name>(?=.*[^\W\d_]).+?)\s*[:;,\t]\s*(?P<id>\d+)")  # wall: 1
CVAT = re.compile(r"(?P<name>.+):(?:\d{1,3},\d{1,3},\d{1,3})?:[^:]*:[^:]*")  # label:color_rgb:parts:actions
COLUMNS = re.compile(r".*[,;\t]\s*-?\d+(\.\d+)?\s*([,;\t].*)?|(\d{1,3}\s+){3}\D.*|.*\D(\s+\d{1,3}){3}")
IGNORED, BACKGROUND = "__ignore__", "_background_"  # LabelMe's: the id -1, and the id 0
SPLITS = {"train", "val"}  # keys beside the names in the YAML file of an ultralytics data set
WRAPPERS = ("names", "classes", "class_names", "labels", "categories", "id2label")


class FoundNames(NamedTuple):
    """The names in a file, or in a value of JSON, YAML or Python."""

    names: Any  # a list in the order of the ids, or synonyms for each name; any other value is kept as it is
    first_id: int = 0  # of the first name
    form: str = ""  # how the value was read, for the log; empty for a plain list or synonyms


def read_names(path: str | Path) -> FoundNames:
    """The names in a file. Unless it is a plain list or synonyms, the log tells how it was read.

    Names are not checked. Blank lines of a plain text become blank names.

    Raises:
        UsageError: the file cannot be read, its ids are not 0 to T - 1 or 1 to T, or it could be read in two ways.
    """
    path = Path(path)
    if path.suffix.lower() in JSON:
        found = find_names(read_json(path, WHAT), str(path))
    elif path.suffix.lower() in YAML:
        found = find_names(read_yaml(path, WHAT), str(path))
    else:
        found = _of_text(_text(path), path)
    if found.form:
        _say_once(f"{path} is read as {found.form}.")
    return found


def find_names(data: Any, source: str) -> FoundNames:
    """The names that a value of JSON, of YAML or of Python holds.

    Args:
        data: the value.
        source: begins the message of an error.

    Raises:
        UsageError: as ``read_names``.
    """
    if isinstance(data, Mapping):
        return _of_mapping(data, source)
    if isinstance(data, list) and data and all(isinstance(each, Mapping) and "name" in each for each in data):
        return _of_objects(data, source)
    if isinstance(data, list):
        return _without_marks(data, source)
    return FoundNames(data)


def _of_mapping(data: Mapping, source: str) -> FoundNames:
    ids = {key: key if isinstance(key, int) else _number(key) for key in data}
    texts = all(isinstance(value, str) for value in data.values())
    if data and texts and all(number is not None and not isinstance(key, bool) for key, number in ids.items()):
        if len(set(ids.values())) < len(ids):
            raise UsageError(f"{source} gives two names to one id; keep one of them.")
        return _in_order({number: data[key] for key, number in ids.items()}, source)
    synonyms = all(isinstance(value, (str, list)) and not _has_objects(value) for value in data.values())
    for key in WRAPPERS:
        alone = len(data) == 1 or not synonyms or (key == "names" and bool(SPLITS & data.keys()))
        if isinstance(data.get(key), (list, dict)) and alone:
            found = find_names(data[key], f"{key} in {source}")
            return found._replace(form=found.form or f"the {len(found.names)} names under its key {key!r}")
    return FoundNames(data)


def _of_objects(data: Sequence[Mapping], source: str) -> FoundNames:
    """The names of objects.

    The ids of CVAT's labels are those of its database: the order counts. The ids of COCO's categories and similar lists
    are those in the label files.
    """
    names = [each["name"] for each in data]
    ids = [each.get("id") for each in data]
    if any("attributes" in each for each in data) or ids == [None] * len(data):
        return FoundNames(names, 0, f"CVAT's labels: the {len(names)} names in their order, ids 0 to {len(names) - 1}")
    if not all(isinstance(number, int) for number in ids) or len(set(ids)) < len(ids):
        raise UsageError(f"{source} lists objects whose ids are not all different whole numbers; give a list of names.")
    return _in_order(dict(zip(ids, names, strict=True)), source)


def _of_text(text: str, path: Path) -> FoundNames:
    lines = [line.strip() for line in text.rstrip().splitlines()]
    filled = [line for line in lines if line]
    _refuse_other_formats(path, filled)
    if filled and filled[0][0] in "[{":
        return find_names(read_json(path, WHAT), str(path))
    comments = [line for line in filled if line.startswith("#")]
    entries = [line for line in filled if not line.startswith("#")]
    maps = [CVAT.fullmatch(line) for line in entries]
    if maps and all(maps):
        form = f"CVAT's label map: the {len(maps)} names in the order of the lines, their colours left out"
        return FoundNames([match["name"].strip() for match in maps], 0, form)
    if comments:
        line = f"Line {lines.index(comments[0]) + 1} of {path}, {reprlib.repr(comments[0])},"
        raise UsageError(f"{line} is a comment or a name; remove it, or give a .json list.")
    for pattern in (ID_FIRST, ID_LAST):
        matches = [pattern.fullmatch(line) for line in filled]
        if matches and all(matches):
            return _numbered(matches, path)
        _refuse_some_ids(matches, lines, filled, path)
    _refuse_columns(filled, path)
    return _without_marks(lines, str(path))


def _numbered(matches: Sequence[re.Match], path: Path) -> FoundNames:
    """The names in lines that all have an id."""
    names = {int(match["id"]): match["name"].strip() for match in matches}
    _refuse_columns(list(names.values()), path)
    if len(names) < len(matches):
        raise UsageError(f"{path} gives two names to one id; keep one of them, or give a .json list without ids.")
    found = _in_order(names, str(path))
    return found._replace(form=f"{found.form}; a .json list keeps numbers that belong to the names")


def _in_order(ids: Mapping[int, Any], source: str) -> FoundNames:
    """The names in the order of their ids, which must count from 0 or from 1 without a gap."""
    numbers = sorted(ids)
    first, last, count = numbers[0], numbers[-1], len(numbers)
    if first not in (0, 1) or last - first != count - 1:
        gap = next((number for number in range(last) if number not in ids), 0)
        raise UsageError(
            f"{source} gives names to {count} ids from {first} to {last}, but none to {gap}; name all from 0 on, or "
            "give a list of names; if the labels hold other values, use the key values of a data-set file."
        )
    taken = "" if first == 0 else f", taken as 0 to {count - 1}"
    return FoundNames([ids[number] for number in numbers], first, f"a name for each id, {first} to {last}{taken}")


def _without_marks(names: list[Any], source: str) -> FoundNames:
    """The names without LabelMe's marks: ``__ignore__`` is no class, ``_background_`` is the class background."""
    if IGNORED not in names and BACKGROUND not in names:
        return FoundNames(names)
    if IGNORED in names[1:]:
        raise UsageError(
            f"{source} has {IGNORED} after other names, LabelMe's mark of pixels that do not count; put it first, or "
            "leave it out."
        )
    kept = names[1:] if names[0] == IGNORED else names
    said = f"{IGNORED} is no class, " if names[0] == IGNORED else ""
    kept = ["background" if name == BACKGROUND else name for name in kept]
    return FoundNames(kept, 0, f"LabelMe's list: {said}{BACKGROUND} is the name background, ids 0 to {len(kept) - 1}")


def _text(path: Path) -> str:
    content = read_bytes(path, WHAT, MOST_BYTES)
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"The file of names {path} cannot be read ({error}); save it in UTF-8.") from error


def _refuse_other_formats(path: Path, lines: Sequence[str]) -> None:
    kind = None
    if lines and lines[0].lower().startswith(("<!doctype", "<html", "<?xml")):
        kind = "a web page or XML"
    elif len(lines) > 1 and all(line.startswith("- ") for line in lines):
        kind = "a YAML list, whose file ends in .yaml"
    elif any("\0" in line for line in lines):
        kind = "no text"
    if kind:
        raise UsageError(f"The file of names {path} is {kind}; give a text with one name a line, or a .json list.")


def _refuse_some_ids(matches: Sequence[re.Match | None], lines: list[str], filled: list[str], path: Path) -> None:
    """Raise UsageError where the ids of most lines count from 0 or 1, but others, such as a header, have no id."""
    ids = [int(match["id"]) for match in matches if match]
    if len(ids) < 2 or 2 * len(ids) < len(filled) or ids not in (list(range(len(ids))), list(range(1, len(ids) + 1))):
        return
    other = filled[matches.index(None)]
    line = f"Line {lines.index(other) + 1} of {path}, {reprlib.repr(other)},"
    raise UsageError(f"{line} has no id, though the others have; give it one, remove it, or give a .json list.")


def _refuse_columns(names: Sequence[str], path: Path) -> None:
    """Raise UsageError where all lines, or all but one, hold tabs, or numbers beside the name, such as a colour."""
    columns = [name for name in names if "\t" in name or COLUMNS.fullmatch(name)]
    if columns and len(columns) >= len(names) - 1:
        raise UsageError(
            f"The lines of {path} have columns, as in {reprlib.repr(columns[-1])}; keep the names alone, one a line."
        )


def _number(key: Any) -> int | None:
    return int(key) if isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 10 else None


def _has_objects(value: Any) -> bool:
    return isinstance(value, list) and not all(isinstance(each, str) for each in value)


@lru_cache(maxsize=256)  # a data set is registered many times, its line is logged once
def _say_once(line: str) -> None:
    logging.getLogger(__name__).warning(line)
