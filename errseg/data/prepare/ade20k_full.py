"""A-847: the full ADE20K of January 2021. An index lists the images; a colour image for each holds the class ids."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np

from errseg.errors import UsageError
from errseg.unpickle import unpickle

from .raw import benchmark, check_same_size, id_table, plain_name, read_pixels, require_file, require_folder, translate
from .tasks import Part, Task

__all__ = ["parts"]

NAME, RELEASE = "ade20k_full_sem_seg_freq_val_all", "ADE20K_2021_17_01"
SHORT_SIDE = 512  # pixels, to which images and labels are reduced that are larger on both sides
RAW_CLASSES = 3688  # of the release; 847 of them are evaluated, the others ignored
REMEDY = (
    f"download the full data set of January 2021 from ade20k.csail.mit.edu and unpack it as {RELEASE} under the root"
)


def parts(root: Path) -> list[Part]:
    """The validation images.

    Raises:
        UsageError: the release or its index is missing, or is that of another release.
    """
    folder, row = root / RELEASE, benchmark(NAME)
    require_folder(folder, REMEDY, others=[root / "ADE20K_2016_07_26", root / "ADEChallengeData2016"])
    path = folder / "index_ade20k.pkl"
    require_file(path, f"{REMEDY}; the release of 2016 has none")
    index = unpickle(path, "index", REMEDY)
    names = index.get("objectnames")
    raw_classes = max(RAW_CLASSES, len(names) if hasattr(names, "__len__") else 0)
    tasks = []
    for source, name in _validation_images(index, path):
        stem = Path(name).stem
        outputs = root / row.image_root / f"{stem}.jpg", root / row.sem_seg_root / f"{stem}.tif"
        image, label = root / source / name, root / source / f"{stem}_seg.png"
        tasks.append(Task(outputs, partial(_convert, image, label, *outputs, raw_classes)))
    if not tasks:
        raise UsageError(f"The index {path} lists no image of the validation split (ADE_val_…); {REMEDY}.")
    return [Part("A-847", row.num_images, tasks)]


def _validation_images(index: dict[str, Any], path: Path) -> Iterator[tuple[PurePosixPath, str]]:
    """The folder, relative to the root, and the name of each image."""
    try:
        pairs = list(zip(index["folder"], index["filename"], strict=True))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"The index {path} has no lists folder and filename of the same length; {REMEDY}.") from error
    for folder, name in pairs:
        folder, name = PurePosixPath(str(folder)), str(name)
        if name.split("_")[1:2] != ["val"]:
            continue
        if folder.is_absolute() or ".." in folder.parts:
            raise UsageError(f"The index {path} lists the folder {str(folder)!r}, which leads elsewhere; {REMEDY}.")
        top = "".join(folder.parts[:1])
        if top.startswith("ADE20K_") and top != RELEASE:
            raise UsageError(f"The index {path} is that of {top}, not of {RELEASE}; {REMEDY}.")
        yield folder, plain_name(name, path, REMEDY)


def _convert(
    image: Path, label: Path, image_output: Path, label_output: Path, raw_classes: int
) -> Iterator[tuple[Path, np.ndarray]]:
    pixels = read_pixels(image, "image", (), REMEDY)
    colours = read_pixels(label, "label", ("RGB",), REMEDY)
    check_same_size(colours, label, pixels.shape[:2], image, REMEDY)
    ids = colours[..., 0].astype(np.int32) // 10 * 256 + colours[..., 1]
    ids = translate(ids, id_table(NAME, range(raw_classes + 1)), np.uint16, label, REMEDY)
    size = _size_to_resize(*ids.shape)
    if size:
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
        ids = cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST)
    # The image is encoded again, at Pillow's quality, even without resizing: published results used these pixels.
    yield image_output, pixels
    yield label_output, ids


def _size_to_resize(height: int, width: int) -> tuple[int, int] | None:
    """The (width, height) of a smaller copy, or None where one side is short enough; halves are rounded to even."""
    if min(height, width) <= SHORT_SIDE:
        return None
    if width >= height:
        return round(width / height * SHORT_SIDE), SHORT_SIDE
    return SHORT_SIDE, round(height / width * SHORT_SIDE)
