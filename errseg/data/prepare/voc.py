"""PASCAL VOC 2012: two label sets of the validation images, without and with the background as a class, and the labels
of the augmented training images.

The training images are those of SegmentationClassAug that are not listed for validation: 10,582 of them. Their
converted labels hold the 20 classes; the training set of 15 classes maps them to other ids.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from errseg.errors import UsageError

from .raw import (
    benchmark,
    check_same_size,
    id_table,
    image_size,
    plain_name,
    read_ids,
    require_file,
    require_folder,
    translate,
)
from .tasks import Part, Task

__all__ = ["parts"]

OBJECTS, BACKGROUND = "voc_2012_test_sem_seg", "voc_2012_test_background_sem_seg"
TRAIN = "voc_2012_train_15_sem_seg"
IGNORED = {OBJECTS: (0, 255), BACKGROUND: (255,)}
VOID, BACKGROUND_ID = 255, 20  # of converted labels
REMEDY = "unpack VOCtrainval_11-May-2012.tar under the root"
LABEL_REMEDY = "unpack SegmentationClassAug.zip into VOCdevkit/VOC2012"


def parts(root: Path) -> list[Part]:
    """The validation images and the training images. Without labels of the latter, their part has a note, and no tasks.

    Raises:
        UsageError: a folder or the list of images is missing.
    """
    folder = root / "VOCdevkit/VOC2012"
    require_folder(folder, REMEDY, others=[root / "VOCdevkit/VOC2010", root / "VOCdevkit/VOC2007"])
    labels, listing = folder / "SegmentationClassAug", folder / "ImageSets/Segmentation/val.txt"
    require_folder(labels, LABEL_REMEDY, others=[folder / "SegmentationClass"])
    require_folder(root / benchmark(OBJECTS).image_root, REMEDY)
    require_file(listing, REMEDY)
    lines = listing.read_text(encoding="utf-8", errors="replace").split("\n")
    stems = [plain_name(line.strip(), listing, REMEDY) for line in lines if line.strip()]
    if not stems:
        raise UsageError(f"The list {listing} is empty; {REMEDY}.")
    tasks = [_task(root, labels, stem) for stem in dict.fromkeys(stems)]
    return [Part("PAS-20", benchmark(BACKGROUND).num_images, tasks), _training_part(root, labels, set(stems))]


def _training_part(root: Path, labels: Path, validation: set[str]) -> Part:
    title, published = "VOC train", benchmark(TRAIN).num_images
    stems = sorted({path.stem for path in labels.glob("*.png")} - validation)
    if not stems:
        note = f"{title} is not there ({labels} holds validation labels alone); only training on VOC needs it."
        return Part(title, published, [], note)
    images, output = (root / folder for folder in (benchmark(TRAIN).image_root, benchmark(TRAIN).sem_seg_root))
    tasks = []
    for stem in stems:
        paths = images / f"{stem}.jpg", labels / f"{stem}.png", output / f"{stem}.png"
        tasks.append(Task(paths[2:], partial(_convert_training, *paths)))
    return Part(title, published, tasks)


def _task(root: Path, labels: Path, stem: str) -> Task:
    """The task of an image: done when both labels exist, or only that with background, if it holds no object."""
    image = root / benchmark(OBJECTS).image_root / f"{stem}.jpg"
    objects, background = (root / benchmark(name).sem_seg_root / f"{stem}.png" for name in (OBJECTS, BACKGROUND))
    convert = partial(_convert, image, labels / f"{stem}.png", objects, background)
    if background.exists() and not objects.exists() and _is_empty(background):
        return Task((background,), convert)
    return Task((objects, background), convert)


def _is_empty(background: Path) -> bool:
    """Whether a label with background holds no object; one that cannot be read is converted again."""
    try:
        ids = read_ids(background, LABEL_REMEDY)
    except UsageError:
        return False
    return not np.any(ids < BACKGROUND_ID)


def _convert_training(image: Path, label: Path, output: Path) -> Iterator[tuple[Path, np.ndarray]]:
    yield output, _objects(image, label)[1]


def _objects(image: Path, label: Path) -> tuple[np.ndarray, np.ndarray]:
    """The ids of a published label, (H, W), and its label without background."""
    ids = read_ids(label, LABEL_REMEDY)
    check_same_size(ids, label, image_size(image, REMEDY), image, LABEL_REMEDY)
    return ids, translate(ids, id_table(OBJECTS, IGNORED[OBJECTS]), np.uint8, label, LABEL_REMEDY)


def _convert(image: Path, label: Path, objects: Path, background: Path) -> Iterator[tuple[Path, np.ndarray]]:
    ids, without = _objects(image, label)
    if np.any(without != VOID):
        yield objects, without
    if np.any(ids != VOID):
        yield background, translate(ids, id_table(BACKGROUND, IGNORED[BACKGROUND]), np.uint8, label, LABEL_REMEDY)
