"""PASCAL-Context on the images of VOC 2010: the 59 frequent classes as run-length code, all 459 as MATLAB files."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from errseg.errors import UsageError

from .raw import (
    benchmark,
    check_same_size,
    id_table,
    image_size,
    plain_name,
    read_label_map,
    require_file,
    require_folder,
    translate,
)
from .rle import decode_rle
from .tasks import Part, Task

__all__ = ["parts_459", "parts_59"]

NAME_59, NAME_459 = "context_59_test_sem_seg", "context_459_test_sem_seg"
CATEGORIES = range(459)  # that annotations may have; those beyond the 59 are ignored, as are pixels without a category
UNLABELLED = (0,)  # in a LabelMap
REMEDY = "unpack VOCtrainval_03-May-2010.tar under the root"
REMEDY_JSON = "put trainval_merged.json into VOCdevkit/VOC2010, downloaded whole"
REMEDY_459 = "unpack trainval.tar.gz of PASCAL-Context into VOCdevkit/VOC2010"


class Listing(NamedTuple):
    """What ``trainval_merged.json`` says about the validation images."""

    path: Path
    stems: dict[str, str]  # file name without suffix, by the id of the image
    annotations: dict[str, list[dict[str, Any]]]  # by the id of the image, in the order of the file


def parts_59(root: Path) -> list[Part]:
    """The validation images with the 59 classes.

    Raises:
        UsageError: a folder or the annotations are missing, or are not those of PASCAL-Context.
    """
    listing, row = _read(root), benchmark(NAME_59)
    tasks = []
    for key, stem in listing.stems.items():
        image, output = root / row.image_root / f"{stem}.jpg", root / row.sem_seg_root / f"{stem}.png"
        convert = partial(_convert_59, listing.path, image, listing.annotations.get(key, []), output)
        tasks.append(Task((output,), convert))
    return [Part("PC-59", row.num_images, tasks)]


def parts_459(root: Path) -> list[Part]:
    """The same images with all 459 classes.

    Raises:
        UsageError: a folder or the list of images is missing.
    """
    listing, row = _read(root, annotated=False), benchmark(NAME_459)
    labels = listing.path.parent / "trainval"
    require_folder(labels, REMEDY_459)
    tasks = []
    for stem in listing.stems.values():
        image, output = root / row.image_root / f"{stem}.jpg", root / row.sem_seg_root / f"{stem}.tif"
        tasks.append(Task((output,), partial(_convert_459, image, labels / f"{stem}.mat", output)))
    return [Part("PC-459", row.num_images, tasks)]


def _convert_59(
    path: Path, image: Path, annotations: list[dict[str, Any]], output: Path
) -> Iterator[tuple[Path, np.ndarray]]:
    size = image_size(image, REMEDY)
    if not annotations:
        raise UsageError(f"{path} has no annotation of the image {image}; {REMEDY_JSON}.")
    ids = np.zeros(size, np.int64)
    for annotation in annotations:  # a later one covers an earlier one
        try:
            ids[decode_rle(annotation["segmentation"], size)] = int(annotation["category_id"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise UsageError(
                f"{path} gives the image {image}, which has {size[1]} × {size[0]} pixels, an annotation with {reason}; "
                f"{REMEDY_JSON}."
            ) from error
    yield output, translate(ids, id_table(NAME_59, CATEGORIES), np.uint8, f"{path} for {image.name}", REMEDY_JSON)


def _convert_459(image: Path, label: Path, output: Path) -> Iterator[tuple[Path, np.ndarray]]:
    ids = read_label_map(label, REMEDY_459)
    check_same_size(ids, label, image_size(image, REMEDY), image, REMEDY_459)
    yield output, translate(ids, id_table(NAME_459, UNLABELLED), np.uint16, label, REMEDY_459)


def _read(root: Path, annotated: bool = True) -> Listing:
    """The validation images, whose phase is val; where ``annotated``, with their annotations."""
    folder = root / "VOCdevkit/VOC2010"
    path = folder / "trainval_merged.json"
    require_folder(folder, REMEDY, others=[root / "VOCdevkit/VOC2012"])
    require_folder(folder / "JPEGImages", REMEDY)
    require_file(path, REMEDY_JSON)
    try:
        data = json.loads(path.read_bytes())
        stems = {_key(image): _stem(image, path) for image in data["images"] if image.get("phase") == "val"}
        annotations: dict[str, list[dict[str, Any]]] = {key: [] for key in stems}
        for annotation in data["annos_segmentation"] if annotated else ():
            annotations.get(_key(annotation), []).append(annotation)
    except UsageError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise UsageError(f"{path} is not the list of PASCAL-Context's images ({reason}); {REMEDY_JSON}.") from error
    if not stems:
        raise UsageError(f"{path} lists no image whose phase is val; {REMEDY_JSON}.")
    return Listing(path, stems, annotations)


def _key(entry: dict[str, Any]) -> str:
    """The id of an image without underscores; an entry has 2008000002 or "2008_000002"."""
    return str(entry["image_id"] if "image_id" in entry else entry["id"]).replace("_", "")


def _stem(image: dict[str, Any], path: Path) -> str:
    if "file_name" in image:
        return plain_name(PurePosixPath(str(image["file_name"])).stem, path, REMEDY_JSON)
    key = _key(image)
    voc_name = f"{key[:4]}_{key[4:]}"  # a year and six digits
    return plain_name(voc_name if len(key) == 10 and key.isdigit() else key, path, REMEDY_JSON)
