"""Data sets that consist of a folder of images and a folder of labels with the same names."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from errseg.errors import UsageError

from .raw import benchmark, check_same_size, id_table, image_size, read_ids, require_folder, translate
from .tasks import Task

__all__ = ["list_pairs"]


def list_pairs(
    root: Path, name: str, labels: Path, ignored: Sequence[int], image_remedy: str, label_remedy: str
) -> list[Task]:
    """The images of a data set, in the order of their names: those with a label, an image, or both.

    Args:
        root: the folder of all data sets.
        name: registered name.
        labels: the folder of the published labels.
        ignored: raw ids that stand for no class.
        image_remedy: what to do where an image is missing or wrong.
        label_remedy: the same for a label.

    Raises:
        UsageError: a folder is missing, or holds no label.
    """
    row = benchmark(name)
    images, output = root / row.image_root, root / row.sem_seg_root
    require_folder(images, image_remedy)
    require_folder(labels, label_remedy)
    stems = _stems(labels, ".png")
    if not stems:
        raise UsageError(f"The folder {labels} holds no *.png; {label_remedy}.")
    tasks = []
    for stem in sorted(stems | _stems(images, ".jpg")):
        paths = images / f"{stem}.jpg", labels / f"{stem}.png", output / f"{stem}.png"
        tasks.append(Task(paths[2:], partial(_convert, *paths, name, tuple(ignored), image_remedy, label_remedy)))
    return tasks


def _stems(folder: Path, suffix: str) -> set[str]:
    return {name.removesuffix(suffix) for name in os.listdir(folder) if name.endswith(suffix)}


def _convert(
    image: Path, label: Path, output: Path, name: str, ignored: tuple[int, ...], image_remedy: str, label_remedy: str
) -> Iterator[tuple[Path, np.ndarray]]:
    ids = read_ids(label, label_remedy)
    check_same_size(ids, label, image_size(image, image_remedy), image, label_remedy)
    yield output, translate(ids, id_table(name, ignored), np.uint8, label, label_remedy)
