"""A data set described by a YAML file, read and checked.

    images: images             # folder, from the YAML file's own; sub-folders count too
    labels: labels             # folder; a label has its image's name, but for the ending
    names: [sky, "red car"]    # of the ids 0, 1, …; or {0: sky, …}; or a file (see names_file.py), or ade20k_150
    ignore: 255                # id of the pixels that do not count

Optional keys:

- ``label_offset``: this number is added to the ids in the files.
- ``reduce_zero_label``: if true, id 0 does not count, and 1 is subtracted from every other id.
- ``values``: the class of each value in the files, such as ``{0: background, 255: crack}``.
- ``colors``: the class of each RGB colour in the files, such as ``{cat: [255, 0, 0]}``, or a list with a colour for
  each name.
- ``exif``: ``stored`` if labels are drawn on the images before their EXIF orientation turns them, ``turned`` if after.
- ``num_classes``: K, the number of names that CRM keeps at test.
- ``unseen``: names of the classes that training does not use, such as ``[cow, giraffe]``, for the scores of both parts.
- ``image_ext`` and ``label_ext``: how the names of the files end, such as ``_mask.png``.
"""

import difflib
import os
import reprlib
from pathlib import Path
from typing import Any, NamedTuple

from errseg.errors import UsageError, short
from errseg.safe_files import read_yaml

from .label_keys import LabelKeys, read_label_keys, shown
from .names_file import FoundNames, find_names, read_names
from .pairing import IMAGE_ENDINGS, LABEL_ENDINGS
from .vocabularies import Vocabulary, canonical, load_vocabulary, vocabulary_names

__all__ = ["DatasetFile", "load_dataset_file"]

KINDS = {  # type and meaning of each key's value; _read_names checks names
    "images": (str, "a folder"),
    "labels": (str, "a folder"),
    "names": (object, "a list of names, or a file of names"),
    "ignore": (int, "a whole number from 0 to 65535"),
    "label_offset": (int, "a whole number"),
    "reduce_zero_label": (bool, "true or false"),
    "values": (dict, "what each value stands for, as in values: {0: background, 255: crack}"),
    "colors": ((dict, list), "a colour for each name, as in colors: {cat: [255, 0, 0], dog: '#00ff00'}"),
    "exif": (str, "turned or stored"),
    "num_classes": (int, "a positive whole number"),
    "unseen": (list, "a list of names, as in unseen: [cow, giraffe]"),
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
    label_map: dict[int, int] | None  # id in the files to class id or ignore_label; None: they are class ids
    num_classes_test: int | None
    image_endings: tuple[str, ...]
    label_endings: tuple[str, ...]
    label_keys: LabelKeys
    unseen_classes: tuple[int, ...]  # ids of the classes that training does not use; (): no split


def load_dataset_file(path: str) -> DatasetFile:
    """Read a data-set file. The folders must exist; the images and labels are not read.

    Raises:
        UsageError: the file is missing or no YAML; or a key is missing, is unknown, or has a value that does not fit.
    """
    content = _read_yaml(path)
    _check_keys(path, content)
    vocabulary = _read_names(path, content)
    keys = read_label_keys(path, content, vocabulary.classes)
    num_kept = content.get("num_classes")
    return DatasetFile(
        path,
        _folder(path, "images", content["images"]),
        _folder(path, "labels", content["labels"]),
        vocabulary,
        keys.ignore_label,
        keys.label_map,
        None if num_kept is None else min(num_kept, len(vocabulary.prompts)),
        _endings(path, "image_ext", content, IMAGE_ENDINGS),
        _endings(path, "label_ext", content, LABEL_ENDINGS),
        keys,
        _read_unseen(path, content.get("unseen", []), vocabulary.classes),
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
            raise UsageError(f"{path} has the unknown key {shown(key)}; {hint}")
        kind, meaning = KINDS[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)) or value == "":
            raise UsageError(f"{key} in {path} is {shown(value)}; give {meaning}.")
    missing = [key for key in REQUIRED if key not in content]
    if missing:
        raise UsageError(f"{path} lacks {', '.join(missing)}; add it: {' and '.join(REQUIRED)} are required.")
    if content.get("num_classes", 1) < 1:
        raise UsageError(f"num_classes in {path} is {shown(content['num_classes'])}; give {KINDS['num_classes'][1]}.")


def _beside(path: str, key: str, value: str) -> Path:
    """A path in a data-set file, which is relative to the folder of the file."""
    try:
        return Path(path).parent / Path(value).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{key} in {path} is {shown(value)}, but that home is not known here; correct it.") from error


def _folder(path: str, key: str, value: str) -> Path:
    folder = _beside(path, key, value)
    if not os.path.isdir(folder):  # also False for a path that no file system accepts
        raise UsageError(
            f"{key} in {path} is {shown(value)}, but there is no folder {short(os.path.abspath(folder))}; correct it: "
            "paths are relative to the file that names them."
        )
    return folder


def _endings(path: str, key: str, content: dict[str, Any], default: tuple[str, ...]) -> tuple[str, ...]:
    if key not in content:
        return default
    ending = content[key].lower()
    return (ending if "." in ending else f".{ending}",)


def _read_names(path: str, content: dict[str, Any]) -> Vocabulary:
    """The vocabulary that the key ``names`` gives or points to."""
    source, names = f"names in {path}", content["names"]
    if isinstance(names, str):
        file = _beside(path, "names", names)
        if not os.path.isfile(file):
            if names in vocabulary_names():
                return load_vocabulary(names)
            raise UsageError(
                f"{source} is {shown(names)}, but there is no file {short(os.path.abspath(file))}, and no vocabulary "
                "of that name; "
                f"give a list, a file, or one of {', '.join(vocabulary_names())}."
            )
        found, source = read_names(file), str(file)
    else:
        found = find_names(names, source)
    names = found.names
    if not isinstance(names, list) or not names:
        raise UsageError(f"{source} holds no list of names; give one name for each id, in their order.")
    _check_first_id(path, source, content, found)
    for index, name in enumerate(names):
        _check_name(source, index, name)
    names, first = [name.strip() for name in names], {}
    for index, name in enumerate(names):
        if first.setdefault(canonical(name), index) != index:
            raise UsageError(
                f"{source} has {name!r} for the ids {first[canonical(name)]} and {index}; give every class a name of "
                "its own, which differs in more than case and spaces."
            )
    return Vocabulary(tuple(names), tuple(names), tuple(range(len(names))))


def _read_unseen(path: str, names: list[Any], classes: tuple[str, ...]) -> tuple[int, ...]:
    """The ids of the classes that training does not use, by their names or their first synonyms."""
    ids = {canonical(form): i for i, name in enumerate(classes) for form in (name, name.split(",")[0])}
    for name in names:
        if not isinstance(name, str) or canonical(name) not in ids:
            near = difflib.get_close_matches(str(name), classes, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "give names of classes."
            raise UsageError(f"unseen in {path} has {shown(name)}, which is none of its names; {hint}")
    unseen = sorted({ids[canonical(name)] for name in names})
    if len(unseen) == len(classes):
        raise UsageError(f"unseen in {path} has all {len(classes)} classes; leave out those that training uses.")
    return tuple(unseen)


def _check_first_id(path: str, source: str, content: dict[str, Any], found: FoundNames) -> None:
    """Raise UsageError where names of the ids 1 to T would be given to other ids of the labels."""
    offset = -1 if content.get("reduce_zero_label") else content.get("label_offset", 0)
    if found.first_id and offset != -found.first_id and not {"values", "colors"} & content.keys():
        raise UsageError(
            f"{source} gives names to the ids {found.first_id} to {len(found.names) + found.first_id - 1}; add "
            f"label_offset: {-found.first_id} to {path} if the labels hold these ids, or number the names from 0."
        )


def _check_name(source: str, index: int, name: Any) -> None:
    if not isinstance(name, str):
        raise UsageError(
            f"The name of id {index} in {source} is read as {reprlib.repr(name)}, which is no text; put it in quotes, "
            "as one must with no, yes, on, off, null and numbers."
        )
    if not all(synonym.strip() for synonym in name.split(",")):
        raise UsageError(f"The name of id {index} in {source} is {name!r}, in which a name is blank; fill it in.")
