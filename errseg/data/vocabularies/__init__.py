"""Class names of the benchmarks, one JSON file each, in the order of the training ids.

A file holds a ``title`` and its ``classes``: ``id`` (in the converted labels), ``raw_id`` (in the published annotation)
and ``name``, with comma-separated synonyms. A class with ``prompts`` is asked for by each of these names instead of its
own, and a pixel given to any of them counts as that class (the background of VOC).
"""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["Vocabulary", "load_vocabulary"]


class Vocabulary(NamedTuple):
    """A label set, and the names by which the model is asked for it."""

    classes: tuple[str, ...]  # class i of the labels
    prompts: tuple[str, ...]  # what the model is asked for; the classes, unless a class has several prompts
    prompt_classes: tuple[int, ...]  # the class of each prompt


@cache
def load_vocabulary(name: str) -> Vocabulary:
    """Read a vocabulary of this package, by the stem of its file name."""
    rows = json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))["classes"]
    prompts = [(prompt, row["id"]) for row in rows for prompt in row.get("prompts", [row["name"]])]
    return Vocabulary(tuple(row["name"] for row in rows), *zip(*prompts, strict=True))
