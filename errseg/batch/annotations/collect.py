"""Collect the label maps of a job, and write the annotations of all its pictures."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from errseg.data.files import read_label
from errseg.errors import UsageError
from errseg.safe_files import read_json

from ..sources import Source
from . import coco, cvat, label_studio, labelme
from .segments import Head, Labelled, Segment, Target

__all__ = ["FORMATS", "PER_PICTURE", "Target", "picture_formats", "remove_annotations", "write_annotations"]

NEEDED = ("labels", "json")  # the outputs that annotations are made of


class Format(NamedTuple):
    """A row of the table.

    Attributes:
        file: of the whole job, in the output folder; "": there is none.
        each: of a picture, for its place; "": there is none.
        write: writes them.
    """

    file: str
    each: str
    write: Callable[[Target, Head, Iterable[Labelled]], None]


FORMATS = {
    "coco-panoptic": Format("coco_panoptic.json", "coco_panoptic/{}_panoptic.png", coco.write_panoptic),
    "coco-stuff": Format("coco_stuff.json", "", coco.write_stuff),
    "labelme": Format("", "labelme/{}.json", labelme.write_labelme),
    "cvat": Format("cvat.xml", "", cvat.write_cvat),
    "label-studio": Format("label_studio.json", "", label_studio.write_brushes),
    "label-studio-polygons": Format("label_studio_polygons.json", "", label_studio.write_polygons),
}
PER_PICTURE = [row.each for row in FORMATS.values() if row.each]


def picture_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """What a job of these formats writes for each picture: no annotations, but what they are made of."""
    plain = [each for each in formats if each not in FORMATS]
    return (*plain, *(each for each in NEEDED if len(plain) < len(formats) and each not in plain))


def remove_annotations(out: Path, formats: Sequence[str]) -> None:
    """Remove the files of whole jobs, which an earlier job may have left, so that none is older than the label maps."""
    for each in formats:
        if each in FORMATS and FORMATS[each].file:
            with suppress(FileNotFoundError):
                (out / FORMATS[each].file).unlink()


def write_annotations(
    out: Path, formats: Sequence[str], places: dict[Source, str], prefix: str = label_studio.PREFIX
) -> list[Path]:
    """Write the annotations of a finished job.

    Args:
        out: the output folder.
        formats: keys of FORMATS; others are left out.
        places: of the pictures that are done.
        prefix: what Label Studio's tasks have before the path of a picture.

    Returns:
        The files, or for formats with a file for each picture their folder.

    Raises:
        UsageError: a label map or a JSON file of the job is missing or damaged.
        OSError: a file cannot be written.
    """
    wanted = [each for each in formats if each in FORMATS]
    if not wanted or not places:
        return []
    pictures = sorted(places.items(), key=lambda pair: pair[1])
    target, head = Target(out, prefix), _head(out, pictures)
    for each in wanted:
        bar = tqdm(_read(out, head, pictures), f"Writing {each}", len(pictures), unit="file", disable=None)
        FORMATS[each].write(target, head, bar)
    rows = [FORMATS[each] for each in wanted]
    return [out / (row.file or row.each.split("/")[0]) for row in rows]


def _head(out: Path, pictures: list[tuple[Source, str]]) -> Head:
    """The names of the job, and the size of each picture."""
    names: tuple[str, ...] = ()
    sizes = {}
    for _, place in pictures:
        content = _json_of(out, place)
        own = tuple(content["names"])
        if names and own != names:
            raise UsageError(f"The pictures of {out} were segmented with other names; give --overwrite.")
        names = own
        sizes[place] = (content["height"], content["width"])
    files = {place: os.path.relpath(source.path, source.root or ".").replace(os.sep, "/") for source, place in pictures}
    return Head(names, sizes, files, {place: source.key for source, place in pictures})


def _read(out: Path, head: Head, pictures: list[tuple[Source, str]]) -> Iterator[Labelled]:
    for _, place in pictures:
        labels = read_label(str(out / f"{place}_labels.png"))
        if labels.shape != head.sizes[place] or labels.max(initial=0) >= len(head.names):
            raise UsageError(f"The label map {out / place}_labels.png is not of its JSON file; give --overwrite.")
        scores = {each["id"]: each["score"] for each in _json_of(out, place)["classes"]}
        ids = np.flatnonzero(np.bincount(labels.ravel(), minlength=len(head.names))).tolist()
        segments = [Segment(index, head.names[index], float(scores.get(index, 0))) for index in ids]
        yield Labelled(place, labels, segments)


def _json_of(out: Path, place: str) -> dict[str, Any]:
    path = out / f"{place}.json"
    content = read_json(path, "result")
    good = isinstance(content, dict) and isinstance(content.get("names"), list)
    good = good and all(isinstance(name, str) for name in content["names"]) and isinstance(content.get("classes"), list)
    good = good and all(isinstance(each, dict) and {"id", "score"} <= each.keys() for each in content["classes"])
    if not good or not all(isinstance(content.get(side), int) for side in ("height", "width")):
        raise UsageError(f"{path} is no result of errseg predict; give --overwrite.")
    return content
