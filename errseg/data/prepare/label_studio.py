"""Merge Label Studio's brush masks, one file for each class of an image, into labels of class ids.

Its export "Brush labels to PNG" names a mask ``task-7-annotation-9-by-ANNOTATOR-FROM-CLASS-0.png``, where FROM is the
name of the labelling control. Only its JSON export tells which image a task belongs to.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from errseg.atomic import replacing
from errseg.errors import UsageError, short
from errseg.safe_files import read_json

from ..files import check_label_size, read_image_size, read_label
from ..names_file import read_names
from ..pairing import IMAGE_ENDINGS, find_files, visible_files

__all__ = [
    "EXPORT",
    "MASK",
    "Mask",
    "in_file",
    "labels_in",
    "masks_by_task",
    "merge",
    "stem_of",
    "tasks_of",
    "values_of",
]

MASK = re.compile(
    r"task-(?P<task>\d+)-annotation-(?P<annotation>\d+)-by-(?P<by>[^-]*)-(?P<rest>.+)"
    r"-(?P<number>\d+)\.png",
    re.I,
)
UPLOAD = re.compile(r"[0-9a-f]{8}-")  # what Label Studio puts before the name of an uploaded file
EXPORT = "JSON export"
HALF = 128  # least value of a mask's pixel that belongs to the class


class Merged(NamedTuple):
    """What :func:`merge` has written."""

    names: list[str]  # of the ids 0, 1, …
    ignore: int  # id of the pixels that do not count
    labels: int  # number of files
    unclear: int  # number of pixels that masks of several classes cover; they do not count


class Mask(NamedTuple):
    path: str
    task: int
    annotation: int
    index: int  # class id


def merge(
    masks: Path, export: Path, images: Path, out: Path, names_file: Path | None = None, background: str | None = None
) -> Merged:
    """Write ``names.json`` and, for each task that has masks, a label with the name of its image.

    Args:
        masks: folder of the masks, (H, W) of 8 bits each.
        export: tasks as JSON; each has an ``id``, and the name of its image, in ``data`` or beside it.
        images: folder of the images.
        out: folder of the labels: PNG of 8 bits, or of 16 bits for more than 255 names.
        names_file: the names; None: those in ``export``, sorted.
        background: name of the pixels that no mask covers; None: they do not count.

    Raises:
        UsageError: a file does not fit the others. Nothing has been written then, unless the file is a damaged mask.
    """
    tasks = tasks_of(export)
    found = read_names(names_file).names if names_file else sorted(set(labels_in(tasks)))
    if not isinstance(found, list) or not found or not all(isinstance(name, str) and name for name in found):
        raise UsageError(f"{names_file or export} holds no names of classes; give a list of them as --names FILE.")
    names = ([background] if background else []) + [name for name in found if name != background]
    by_task = masks_by_task(masks, names, set(values_of(tasks, "from_name")))
    pictures = find_files(images, IMAGE_ENDINGS, "image_ext", str(images))
    stems = {task: stem_of(tasks, task, export, pictures) for task in by_task}
    shared = {stem: task for task, stem in stems.items()}
    for task, stem in stems.items():
        if shared[stem] != task:
            raise UsageError(f"The tasks {task} and {shared[stem]} of {export} are of one image, {stem}; remove one.")
    ignore = 255 if len(names) <= 255 else 65535
    unclear = 0
    for task, parts in by_task.items():
        label, several = _label_of(parts, pictures[stems[task]], ignore, empty=0 if background else ignore)
        unclear += several
        with replacing(out / f"{stems[task]}.png") as temporary:
            Image.fromarray(label).save(temporary, format="PNG")
    with replacing(out / "names.json") as temporary:
        temporary.write_text(json.dumps(names, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return Merged(names, ignore, len(by_task), unclear)


def tasks_of(export: Path) -> dict[int, Mapping[str, Any]]:
    """The tasks of the export, by their ids."""
    content = read_json(export, EXPORT)
    if not isinstance(content, list) or not all(
        isinstance(task, dict) and type(task.get("id")) is int for task in content
    ):
        raise UsageError(f"The {EXPORT} {export} is no list of tasks with ids; export the project as JSON or JSON-MIN.")
    return {task["id"]: task for task in content}


def masks_by_task(folder: Path, names: Sequence[str], controls: set[str]) -> dict[int, list[Mask]]:
    """The masks of each task, all of one annotation.

    Args:
        folder: of the masks.
        names: of the classes.
        controls: the names of the labelling controls; empty: they are unknown, and all masks must have the same one.
    """
    by_task: dict[int, list[Mask]] = {}
    first: str | None = None
    for path in visible_files(folder):
        match = MASK.fullmatch(os.path.basename(path))
        if match is None:
            continue
        name = max((name for name in names if match["rest"].endswith(f"-{in_file(name)}")), key=len, default=None)
        control = match["rest"][: -len(in_file(name)) - 1] if name else ""
        first = first or control
        if name is None or control not in (controls or {first}):
            raise UsageError(f"The mask {path} is of none of the classes {short(', '.join(names))}; give --names FILE.")
        mask = Mask(path, int(match["task"]), int(match["annotation"]), names.index(name))
        others = by_task.setdefault(mask.task, [])
        if others and others[0].annotation != mask.annotation:
            raise UsageError(
                f"The task {mask.task} has masks of two annotations, {others[0].path} and {path}; keep those of one."
            )
        others.append(mask)
    if not by_task:
        raise UsageError(f"The folder {folder} holds no mask of Label Studio, task-…-annotation-…-by-….png.")
    return by_task


def in_file(name: str) -> str:
    """The name of a class as Label Studio writes it in a file's name."""
    return re.sub(r"[/\\]", "-", name)


def stem_of(tasks: Mapping[int, Any], task: int, export: Path, pictures: Mapping[str, str]) -> str:
    """The name of a task's image, without its ending, below the folder of the images."""
    if task not in tasks:
        raise UsageError(f"The {EXPORT} {export} has no task {task}, though there are masks of it; export it again.")
    data = tasks[task].get("data", tasks[task])
    texts = [value for value in data.values() if isinstance(value, str)] if isinstance(data, dict) else []
    wanted = {re.split(r"[/\\=]", text)[-1] for text in texts}  # of a path, or of an address with ?d=…
    wanted |= {UPLOAD.sub("", name, count=1) for name in wanted}
    found = [stem for stem, path in pictures.items() if os.path.basename(path) in wanted]
    if len(found) != 1:
        state = "is not among the images" if not found else f"has the name of {len(found)} images"
        image = short(", ".join(texts))
        raise UsageError(f"The image of the task {task} of {export}, {image}, {state}; correct IMAGES.")
    return found[0]


def _label_of(masks: Sequence[Mask], image: str, ignore: int, empty: int) -> tuple[np.ndarray, int]:
    """The label (H, W) of an image, and how many of its pixels several classes cover."""
    size = read_image_size(image)
    label = np.full(size, empty, np.uint8 if ignore == 255 else np.uint16)
    taken, several = np.zeros(size, bool), np.zeros(size, bool)
    for index in sorted({mask.index for mask in masks}):
        covered = np.zeros(size, bool)
        for path in (mask.path for mask in masks if mask.index == index):
            values = read_label(path)
            check_label_size(values, path, image, size)
            covered |= values >= HALF
        several |= covered & taken
        taken |= covered
        label[covered] = index
    label[several] = ignore
    return label, int(several.sum())


def labels_in(tasks: Mapping[int, Any]) -> Iterator[str]:
    """The classes of every region."""
    for labels in values_of(tasks, "brushlabels"):
        yield from (label for label in labels if isinstance(label, str)) if isinstance(labels, list) else ()


def values_of(tree: Any, key: str) -> Iterator[Any]:
    """The strings and lists under a key, anywhere in a tree of mappings and lists."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            if name == key and isinstance(value, (str, list)):
                yield value
            else:
                yield from values_of(value, key)
    elif isinstance(tree, list):
        for value in tree:
            yield from values_of(value, key)
