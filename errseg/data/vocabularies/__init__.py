"""Class names of the benchmarks, one JSON file each, in the order of the training ids.

A file holds a ``title`` and its ``classes``. A class has an ``id`` (in the converted labels), a ``raw_id`` (in the
published annotation) and a ``name``, with comma-separated synonyms. Where a class has ``prompts``, the model gets each
of these names instead of the class's own; a pixel assigned to any of them counts as that class (the background of VOC).

Where ``labels`` names another vocabulary, the converted labels hold the ids of that vocabulary. Its classes are matched
by their ``raw_id``; classes without a match are ignored (COCO-Stuff-156 on the labels of COCO-Stuff, VOC-15 on those
of VOC).

Two label sets have a second list of names, which other published results were measured with: ``ade20k_150_detectron2``
(Detectron2's own list) and ``pascal_context_459_blanks`` ("air conditioner", not "airconditioner").
"""

import json
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Vocabulary", "canonical", "equal_names", "held_out_classes", "load_vocabulary", "vocabulary_names"]

FOLDER = Path(__file__).parent


class Vocabulary(NamedTuple):
    """A label set, and the prompts that the model gets for it."""

    classes: tuple[str, ...]  # class i of the labels
    prompts: tuple[str, ...]  # the classes, unless a class has prompts of its own
    prompt_classes: tuple[int, ...]  # the class of each prompt
    label_ids: tuple[int | None, ...] | None = None  # class of each id on disk, or None: ignored; None: ids are classes

    def label_map(self, ignore_label: int) -> dict[int, int] | None:
        """Id on disk to class id or ``ignore_label``; None where the labels hold class ids."""
        if self.label_ids is None:
            return None
        classes = {raw: ignore_label if mapped is None else mapped for raw, mapped in enumerate(self.label_ids)}
        return {**classes, ignore_label: ignore_label}


def vocabulary_names() -> list[str]:
    """The vocabularies of this package."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


@cache
def load_vocabulary(name: str) -> Vocabulary:
    """Read a vocabulary of this package, by the stem of its file name."""
    content = _read(name)
    rows = content["classes"]
    prompts = [(prompt, row["id"]) for row in rows for prompt in row.get("prompts", [row["name"]])]
    label_ids = None
    if "labels" in content:
        classes = {row["raw_id"]: row["id"] for row in rows}
        label_ids = tuple(classes.get(row["raw_id"]) for row in _read(content["labels"])["classes"])
    return Vocabulary(tuple(row["name"] for row in rows), *zip(*prompts, strict=True), label_ids)


def held_out_classes(name: str) -> tuple[int, ...]:
    """The ids of the classes that a vocabulary lacks, in the vocabulary of its label files; () where it lacks none."""
    label_ids = load_vocabulary(name).label_ids or ()
    return tuple(raw for raw, mapped in enumerate(label_ids) if mapped is None)


def _read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def canonical(name: str) -> str:
    """A name as the model reads it: in lower case, with single spaces, and with one form (NFKC) of each character."""
    return " ".join(unicodedata.normalize("NFKC", name).lower().split())


def equal_names(prompts: Sequence[str], synonyms: str = "first") -> list[list[int]]:
    """Groups of names that the model reads as the same words, so that the first name of a group wins every pixel.

    Args:
        prompts: names, with comma-separated synonyms.
        synonyms: MODEL.PROMPT.SYNONYMS, "first", "mean" or "whole": which synonyms count.

    Returns:
        The ids of each group of two or more.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for i, name in enumerate(prompts):
        words = [canonical(part) for part in name.split(",") if part.strip()]
        groups.setdefault(tuple(words[:1] if synonyms == "first" else words), []).append(i)
    return [ids for ids in groups.values() if len(ids) > 1]
