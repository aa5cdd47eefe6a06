"""The keys of a data-set file that say what the values and colours of its label files stand for."""

import difflib
import re
import reprlib
from typing import Any, NamedTuple

from errseg.errors import UsageError, short

__all__ = ["Color", "LabelKeys", "color_of", "read_label_keys", "shown"]

LARGEST_ID = 65535
EXIF = ("turned", "stored")
IGNORE = "ignore"  # the word for pixels that do not count, unless a class has this name
SHORT = 200  # characters of a value in a message

Color = tuple[int, int, int]  # RGB, 0 to 255


class LabelKeys(NamedTuple):
    """What a data-set file says about its label files."""

    ignore_label: int  # among class ids
    label_map: dict[int, int] | None  # value in the files to class id or ignore_label; None: values are class ids
    colors: dict[Color, int] | None  # colour in the files to class id or ignore_label; None: the files hold values
    exif: str  # "stored": labels are drawn on the pixels before they are turned; "turned": after; "": not given
    explicit: bool  # every value or colour that a file may hold is listed


def read_label_keys(path: str, content: dict[str, Any], classes: tuple[str, ...]) -> LabelKeys:
    """Read the keys ``ignore``, ``label_offset``, ``reduce_zero_label``, ``values``, ``colors`` and ``exif``.

    Args:
        path: the data-set file, for messages.
        content: its keys, each of the right type.
        classes: the names of its classes.

    Raises:
        UsageError: a value does not fit, or two keys say different things.
    """
    _check_alone(path, content)
    if not 0 <= content.get("ignore", 0) <= LARGEST_ID:
        raise UsageError(f"ignore in {path} is {shown(content['ignore'])}; give a whole number from 0 to {LARGEST_ID}.")
    exif = content.get("exif", "")
    if exif not in ("", *EXIF):
        raise UsageError(
            f"exif in {path} is {shown(exif)}; give turned if labels are drawn on images as they are shown, or stored "
            "if they are drawn on the pixels as the files hold them."
        )
    free = 255 if len(classes) <= 255 else LARGEST_ID  # an ignore label that is no class
    if "colors" in content:
        return LabelKeys(free, None, _colors(path, content["colors"], classes, free), exif, True)
    if "values" in content:
        return LabelKeys(free, _values(path, content, classes, free), None, exif, True)
    return LabelKeys(*_offset_ids(path, content, classes), None, exif, False)


def shown(value: object) -> str:
    """A value in a message, on one line and not too long."""
    if isinstance(value, str):
        return repr(short(value, SHORT))
    try:
        return reprlib.repr(value)
    except ValueError:  # Python does not print a number of thousands of digits
        return "a number of thousands of digits"


def _check_alone(path: str, content: dict[str, Any]) -> None:
    """Check that at most one key gives the meaning of the values."""
    given = [key for key in ("colors", "values", "reduce_zero_label", "label_offset") if content.get(key)]
    if given == ["reduce_zero_label", "label_offset"]:
        raise UsageError(
            f"{path} gives both reduce_zero_label and label_offset; reduce_zero_label already subtracts 1 from the "
            "ids: keep one of them."
        )
    if len(given) > 1:
        raise UsageError(f"{path} gives both {given[0]} and {given[1]}; keep {given[0]}, which is enough.")


def _offset_ids(path: str, content: dict[str, Any], classes: tuple[str, ...]) -> tuple[int, dict[int, int] | None]:
    """The ignore label among class ids, and the map from the ids of the files."""
    reduce = content.get("reduce_zero_label", False)
    ignore, offset = content.get("ignore", 255), -1 if reduce else content.get("label_offset", 0)
    if abs(offset) > LARGEST_ID:
        raise UsageError(
            f"label_offset in {path} is {shown(offset)}; give a number from {-LARGEST_ID} to {LARGEST_ID}: label files "
            "hold no larger ids."
        )
    raw_ids = {index - offset: index for index in range(len(classes)) if index >= offset}
    if ignore in raw_ids:
        wide = len(classes) - 1 - offset >= 255
        hint = "65535, which 16-bit labels hold" if wide else "255, where labels hold no such id"
        raise UsageError(
            f"ignore in {path} is {ignore}, which is also the id of the class {classes[raw_ids[ignore]]!r}; give the "
            f"id of the pixels that do not count ({hint}), or reduce_zero_label or label_offset where ids start at 1."
        )
    if offset == 0:
        return ignore, None
    if ignore < len(classes):  # no class in the files, but a class after the map
        ignored = 255 if len(classes) <= 255 else LARGEST_ID
    else:
        ignored = ignore
    return ignored, {**raw_ids, **({0: ignored} if reduce else {}), ignore: ignored}


def _values(path: str, content: dict[str, Any], classes: tuple[str, ...], ignored: int) -> dict[int, int]:
    """Value in the files -> class id, from ``{0: background, 255: crack}``."""
    label_map = {}
    for value, meaning in content["values"].items():
        if not _is_number(value) or not 0 <= value <= LARGEST_ID:
            raise UsageError(
                f"values in {path} names the value {shown(value)}; give whole numbers from 0 to {LARGEST_ID}, as in "
                "values: {0: background, 255: crack}."
            )
        label_map[value] = _class_of(path, "values", meaning, classes, ignored)
    if set(label_map.values()) <= {ignored}:
        raise UsageError(f"values in {path} names no class; give some, as in values: {{0: background, 255: crack}}.")
    ignore = content.get("ignore", 255)
    if "ignore" in content and label_map.get(ignore, ignored) != ignored:
        raise UsageError(f"{path} gives {ignore} to a class in values, and as ignore; take it out of one of them.")
    return {ignore: ignored, **label_map}


def _colors(path: str, colors: Any, classes: tuple[str, ...], ignored: int) -> dict[Color, int]:
    """Colour in the files -> class id, from a list in the order of the names, or a mapping in either direction."""
    if isinstance(colors, list):
        if len(colors) > len(classes):
            raise UsageError(f"colors in {path} has {len(colors)} colours for {len(classes)} names; give one for each.")
        pairs = [(color, index) for index, color in enumerate(colors)]
    else:
        pairs = [(key, value) if color_of(key) else (value, key) for key, value in colors.items()]
    table: dict[Color, int] = {}
    for written, meaning in pairs:
        color = color_of(written)
        if color is None:
            raise UsageError(
                f"colors in {path} has {shown(written)} for {shown(meaning)}, which is no colour; give [255, 0, 0] or "
                "'#ff0000', in quotes, as in colors: {cat: [255, 0, 0]}."
            )
        index = _class_of(path, "colors", meaning, classes, ignored)
        if table.setdefault(color, index) != index:
            raise UsageError(f"colors in {path} gives {list(color)} to two classes; give it to one.")
    if set(table.values()) <= {ignored}:
        raise UsageError(f"colors in {path} names no class; give each of the names its colour.")
    return table


def color_of(value: object) -> Color | None:
    """``[255, 0, 0]``, ``"255, 0, 0"`` or ``"#ff0000"`` -> (255, 0, 0); None for anything else."""
    if isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value.strip()):
        value = list(bytes.fromhex(value.strip()[1:]))
    elif isinstance(value, str) and re.fullmatch(r"\s*\d{1,3}\s*[, ]\s*\d{1,3}\s*[, ]\s*\d{1,3}\s*", value, re.ASCII):
        value = list(map(int, re.findall(r"\d+", value)))
    fits = isinstance(value, list) and len(value) == 3 and all(_is_number(x) and 0 <= x <= 255 for x in value)
    return tuple(value) if fits else None


def _class_of(path: str, key: str, meaning: object, classes: tuple[str, ...], ignored: int) -> int:
    """The id of the class that a name, an id, or the word ``ignore`` stands for."""
    if _is_number(meaning) and (0 <= meaning < len(classes) or meaning == ignored):
        return meaning
    if isinstance(meaning, str):
        wanted, firsts = meaning.strip(), [name.split(",")[0].strip() for name in classes]
        for known in (list(classes), firsts):
            if wanted in known:
                return known.index(wanted)
        if wanted == IGNORE:
            return ignored
    near = difflib.get_close_matches(str(meaning), classes, n=1) if isinstance(meaning, str) else []
    hint = f"did you mean {near[0]!r}?" if near else f"give a name, an id from 0 to {len(classes) - 1}, or {IGNORE}."
    raise UsageError(f"{key} in {path} names the class {shown(meaning)}, which names does not have; {hint}")


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
