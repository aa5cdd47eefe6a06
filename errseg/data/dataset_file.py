"""A data set described by a YAML file, read and checked.

    images: images             # folder, from the YAML file's own; sub-folders count too
    labels: labels             # folder; a label has its image's name, but for the ending
    names: [sky, "red car"]    # of the ids 0, 1, …; or a file (.txt: a name per line, .json: a list), or ade20k_150
    ignore: 255                # id of the pixels that do not count

and, where they are needed, ``label_offset`` (added to the ids of the files), ``reduce_zero_label`` (0 does not count,
the others less one), ``num_classes`` (K, the names that CRM keeps at test), ``image_ext`` and ``label_ext`` (how the
files' names end, such as ``_mask.png``).
"""

import difflib
import json
import reprlib
from pathlib import Path
from typing import Any, NamedTuple

from errseg.errors import UsageError
from errseg.safe_files import read_yaml

from .pairing import IMAGE_ENDINGS, LABEL_ENDINGS
from .vocabularies import Vocabulary, default_num_classes, load_vocabulary, vocabulary_names

__all__ = ["DatasetFile", "load_dataset_file", "read_names_file"]

KINDS = {  # what each key takes; names is looked at by itself
    "images": (str, "a folder"),
    "labels": (str, "a folder"),
    "names": (object, "a list of names, or a file of names"),
    "ignore": (int, "a whole number from 0 to 65535"),
    "label_offset": (int, "a whole number"),
    "reduce_zero_label": (bool, "true or false"),
    "num_classes": (int, "a positive whole number"),
    "image_ext": (str, "an ending such as .jpg"),
    "label_ext": (str, "an ending such as _mask.png"),
}
REQUIRED = ("images", "labels", "names")


class DatasetFile(NamedTuple):
    """A data set on disk."""

    path: str
    images: Path
    labels: Path
    vocabulary: Vocabulary
    ignore_label: int  # among class ids
    label_map: dict[int, int] | None  # id in the files to class id or ignore_label; None: as they are
    num_classes_test: int
    image_endings: tuple[str, ...]
    label_endings: tuple[str, ...]


def load_dataset_file(path: str) -> DatasetFile:
    """Read a data-set file; the folders must be there, the images and labels are not looked at.

    Raises:
        UsageError: the file is missing or no YAML, or a key of it is missing, unknown or has an unfit value.
    """
    content = _read_yaml(path)
    _check_keys(path, content)
    vocabulary = _read_names(path, content["names"])
    ignore_label, label_map = _label_ids(path, content, vocabulary.classes)
    count = len(vocabulary.prompts)
    return DatasetFile(
        path,
        _folder(path, "images", content["images"]),
        _folder(path, "labels", content["labels"]),
        vocabulary,
        ignore_label,
        label_map,
        min(content.get("num_classes", default_num_classes(count)), count),
        _endings(path, "image_ext", content, IMAGE_ENDINGS),
        _endings(path, "label_ext", content, LABEL_ENDINGS),
    )


def _read_yaml(path: str) -> dict[str, Any]:
    content = read_yaml(path, "data-set file")
    if not isinstance(content, dict):
        raise UsageError(f"The data-set file {path} holds no keys; give {', '.join(REQUIRED)}.")
    return content


def _check_keys(path: str, content: dict[str, Any]) -> None:
    for key, value in content.items():
        if key not in KINDS:
            near = difflib.get_close_matches(str(key), KINDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(KINDS)}."
            raise UsageError(f"{path} has the unknown key {reprlib.repr(key)}; {hint}")
        kind, meaning = KINDS[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)) or value == "":
            raise UsageError(f"{key} in {path} is {reprlib.repr(value)}; give {meaning}.")
    missing = [key for key in REQUIRED if key not in content]
    if missing:
        raise UsageError(f"{path} lacks {', '.join(missing)}; add it: {' and '.join(REQUIRED)} are required.")
    if not 0 <= content.get("ignore", 0) <= 65535:
        raise UsageError(f"ignore in {path} is {content['ignore']}; give {KINDS['ignore'][1]}.")
    if content.get("num_classes", 1) < 1:
        raise UsageError(f"num_classes in {path} is {content['num_classes']}; give {KINDS['num_classes'][1]}.")
    if content.get("reduce_zero_label") and content.get("label_offset"):
        raise UsageError(
            f"{path} gives both reduce_zero_label and label_offset; reduce_zero_label already takes one from the ids: "
            "keep one of them."
        )


def _folder(path: str, key: str, value: str) -> Path:
    folder = Path(path).parent / Path(value).expanduser()
    if not folder.is_dir():
        raise UsageError(
            f"{key} in {path} is {value!r}, but there is no folder {folder.absolute()}; correct it: paths are relative "
            "to the file that names them."
        )
    return folder


def _endings(path: str, key: str, content: dict[str, Any], default: tuple[str, ...]) -> tuple[str, ...]:
    if key not in content:
        return default
    ending = content[key].lower()
    return (ending if "." in ending else f".{ending}",)


def _label_ids(path: str, content: dict[str, Any], classes: tuple[str, ...]) -> tuple[int, dict[int, int] | None]:
    """The ignore label among class ids, and the map from the ids of the files."""
    reduce = content.get("reduce_zero_label", False)
    ignore, offset = content.get("ignore", 255), -1 if reduce else content.get("label_offset", 0)
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
    if ignore < len(classes):  # free in the files, but a class after the map
        ignored = 255 if len(classes) <= 255 else 65535
    else:
        ignored = ignore
    return ignored, {**raw_ids, **({0: ignored} if reduce else {}), ignore: ignored}


def _read_names(path: str, names: Any) -> Vocabulary:
    """The vocabulary that the key ``names`` gives or points to."""
    source = f"names in {path}"
    if isinstance(names, str):
        file = Path(path).parent / Path(names).expanduser()
        if not file.is_file():
            if names in vocabulary_names():
                return load_vocabulary(names)
            raise UsageError(
                f"{source} is {names!r}, but there is no file {file.absolute()}, and no vocabulary of that name; "
                f"give a list, a file, or one of {', '.join(vocabulary_names())}."
            )
        names, source = read_names_file(file), str(file)
    if not isinstance(names, list) or not names:
        raise UsageError(f"{source} holds no list of names; give one name for each id, in their order.")
    for index, name in enumerate(names):
        _check_name(source, index, name)
    names = [name.strip() for name in names]
    first = {name: index for index, name in reversed(list(enumerate(names)))}
    for index, name in enumerate(names):
        if first[name] != index:
            raise UsageError(
                f"{source} has {name!r} for the ids {first[name]} and {index}; give every class a name of its own."
            )
    return Vocabulary(tuple(names), tuple(names), tuple(range(len(names))))


def read_names_file(file: Path) -> Any:
    """What a file of names holds: the lines of a text, or whatever a ``.json`` file has.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        return json.loads(text) if file.suffix.lower() == ".json" else text.rstrip().splitlines()
    except (OSError, RecursionError, ValueError) as error:  # of the encoding or the JSON
        raise UsageError(f"The file of names {file} cannot be read ({error}); correct it, in UTF-8.") from error


def _check_name(source: str, index: int, name: Any) -> None:
    if not isinstance(name, str):
        raise UsageError(
            f"The name of id {index} in {source} is read as {reprlib.repr(name)}, which is no text; put it in quotes, "
            "as one must with no, yes, on, off, null and numbers."
        )
    if not all(synonym.strip() for synonym in name.split(",")):
        raise UsageError(f"The name of id {index} in {source} is {name!r}, in which a name is blank; fill it in.")
