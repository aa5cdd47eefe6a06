"""What the writers of annotations get: the head of a job, and label maps one after the other."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from errseg.atomic import replacing

__all__ = ["Head", "Labelled", "Segment", "Target", "opened", "write_list"]


class Target(NamedTuple):
    """Where annotations go."""

    out: Path
    prefix: str  # of the addresses in Label Studio's tasks


class Head(NamedTuple):
    """What is known of all pictures before any label map is read."""

    names: tuple[str, ...]
    sizes: dict[str, tuple[int, int]]  # height and width, by place
    files: dict[str, str]  # path of the picture below its root, with its ending, by place
    paths: dict[str, str]  # absolute path of the picture, by place


class Segment(NamedTuple):
    """A name that has pixels."""

    id: int
    name: str
    score: float  # mean confidence


class Labelled(NamedTuple):
    """A picture's label map (H, W) of indices of names, and the names in it by their ids."""

    place: str
    labels: np.ndarray
    segments: list[Segment]


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """A text file that is written whole or not at all."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
        yield file


def write_list(file: TextIO, entries: Iterable[Any]) -> None:
    """Write entries as a JSON list, one at a time, so that memory does not grow with their number."""
    file.write("[")
    for number, entry in enumerate(entries):
        file.write(("," if number else "") + "\n" + json.dumps(entry, ensure_ascii=False))
    file.write("\n]")
