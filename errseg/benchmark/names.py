"""The vocabularies of a benchmark: packaged ones, those of registered data sets, and made-up names."""

import random
from typing import NamedTuple

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from ..config import get_cfg
from ..data import dataset_vocabulary
from ..data.benchmarks import BENCHMARKS
from ..data.vocabularies import load_vocabulary, vocabulary_names
from ..errors import UsageError
from ..modeling import system_of
from ..modeling.num_kept import NumKept

RANDOM = "random:"
MADE_UP_NUM_CLASSES = 48  # K, the same as for A-847
SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]


class NameList(NamedTuple):
    """A vocabulary to measure with."""

    label: str
    names: tuple[str, ...]
    num_classes: NumKept  # K; 0: all names


def name_list(
    label: str, num_classes: int | str | None = None, cfg: CfgNode | None = None, training: bool = False
) -> NameList:
    """The vocabulary of a word on the command line.

    Args:
        label: a file of errseg/data/vocabularies, a registered data set, a data-set file, or ``random:N``.
        num_classes: K, or "auto"; None: the K at test that the system of ``cfg`` uses for the vocabulary's data set.
        cfg: the configuration; None: the default one.
        training: where ``num_classes`` is None, use the K of training.

    Raises:
        UsageError: there is no such vocabulary, or the system has no K that fits the image.
    """
    names, recommended = _find(label)
    cfg = get_cfg() if cfg is None else cfg
    system = system_of(cfg)
    if num_classes is None:
        num_kept = system.num_kept_train(cfg) if training else system.num_kept(cfg, len(names), recommended)
    elif isinstance(num_classes, str):
        if system.auto_kept is None:
            raise UsageError(f"--num-classes is {num_classes}, but {system.name} keeps every name; leave it out.")
        num_kept = system.auto_kept(cfg)
    else:
        num_kept = num_classes
    return NameList(label, tuple(names), num_kept)


def _find(label: str) -> tuple[list[str] | tuple[str, ...], int | None]:
    if label.startswith(RANDOM):
        count = label.removeprefix(RANDOM)
        if not count.isdecimal() or not 0 < int(count) <= 10**6:
            raise UsageError(f"--vocabulary has {label!r}; give random:N with N from 1 to 1000000.")
        return made_up_names(int(count)), MADE_UP_NUM_CLASSES
    if label in vocabulary_names():
        row = next((row for row in BENCHMARKS if row.vocabulary == label), None)
        return load_vocabulary(label).prompts, row.num_kept if row else None
    vocabulary = dataset_vocabulary(label)
    if vocabulary:
        return vocabulary.prompts, MetadataCatalog.get(label).get("num_classes_test")
    known = ", ".join(vocabulary_names())
    raise UsageError(f"--vocabulary has {label!r}; give one of {known}, {RANDOM}N, or a registered data set.")


def made_up_names(count: int) -> list[str]:
    """Different names of two meaningless words, the same at every call."""
    draw, names = random.Random(0), {}  # a dict keeps the order
    while len(names) < count:
        words = ("".join(draw.choices(SYLLABLES, k=draw.randint(2, 3))) for _ in range(2))
        names[" ".join(words)] = None
    return list(names)
