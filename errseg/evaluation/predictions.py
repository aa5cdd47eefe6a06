"""Predictions on disk, in the format of the data set's label files. An interrupted evaluation continues from them.

FOLDER/manifest.json        the ledger, see ledger.py: the weights, settings and vocabularies of the predictions
FOLDER/<set>/<image>.png    ids as in the data set's own label files (.tif of 16 bits where there are more than 255)
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog
from PIL import Image

from errseg.atomic import replacing
from errseg.data.custom import is_dataset_file
from errseg.data.files import check_label_size, read_image_size, read_label
from errseg.errors import UsageError

__all__ = ["MANIFEST", "PredictionStore", "ReusingMapper", "folder_of", "label_ids", "place_of_image"]

MANIFEST = "manifest.json"
LARGEST_ID = 65535
Record = dict[str, Any]


class PredictionStore:
    """The predictions of one data set.

    A file holds the ids of the data set's label files. Where a label map converts these ids to classes (an offset, a
    reduced zero label, held-out classes), a file holds the smallest id that the map converts to the predicted class.
    """

    def __init__(self, folder: str | Path, dataset_name: str):
        """
        Args:
            folder: the folder of the predictions of all data sets.
            dataset_name: a registered data set.

        Raises:
            UsageError: a class has no id of 16 bits in the label files, so that it cannot be saved.
        """
        metadata = MetadataCatalog.get(dataset_name)
        self.dataset_name = dataset_name
        self.root = Path(folder) / folder_of(dataset_name)
        self.image_root = Path(metadata.get("image_root", ""))
        self.ids = np.array(label_ids(dataset_name))
        wide = self.ids.max() > 255 or len(self.ids) > 255
        self.dtype, self.suffix = (np.uint16, ".tif") if wide else (np.uint8, ".png")
        self._classes = np.full(LARGEST_ID + 1, -1, np.int32)
        self._classes[self.ids] = np.arange(len(self.ids))

    def check(self, records: Sequence[Record]) -> None:
        """Check that each image has its own prediction file.

        Raises:
            UsageError: two images would share a file.
        """
        images: dict[Path, str] = {}
        for record in records:
            other = images.setdefault(self.path(record), record["file_name"])
            if other != record["file_name"]:
                raise UsageError(
                    f"The images {other} and {record['file_name']} of {self.dataset_name} differ only in their endings "
                    "or folders, so that their predictions would be one file; rename one of them."
                )

    def path(self, record: Record) -> Path:
        """The file of an image's prediction: its path in the store is the image's path in the data set."""
        return self.root / place_of_image(record, self.image_root).with_suffix(self.suffix)

    def read(self, record: Record) -> np.ndarray | None:
        """The predicted classes (H, W) int32 of an image; None where the store has no valid prediction of its size."""
        try:
            return self.load(record) if self.path(record).is_file() else None
        except UsageError:
            return None

    def load(self, record: Record) -> np.ndarray:
        """The predicted classes (H, W) int32 of an image.

        Raises:
            UsageError: the prediction is missing or damaged, has another size than the image, or holds unknown ids.
        """
        path = str(self.path(record))
        ids = read_label(path)
        check_label_size(ids, path, record["file_name"], read_image_size(record["file_name"]))
        classes = self._classes[ids] if ids.dtype == self.dtype else np.array(-1)
        if (classes < 0).any():
            raise UsageError(f"The prediction {path} holds ids that no class of {self.dataset_name} has; remove it.")
        return classes

    def write(self, record: Record, classes: np.ndarray) -> None:
        """Write the predicted classes (H, W) of an image.

        Raises:
            UsageError: the file cannot be written, or the folder's ledger has been removed.
        """
        manifest = self.root.parent / MANIFEST
        if not manifest.is_file():  # without it, no later run could use the folder
            raise UsageError(
                f"--save-predictions {manifest.parent} has lost its {MANIFEST} during the evaluation; find out which "
                "program removes its files, or name another folder, and start again."
            )
        picture, path = Image.fromarray(self.ids[classes].astype(self.dtype)), self.path(record)
        form = {"format": "TIFF", "compression": "tiff_deflate"} if self.suffix == ".tif" else {"format": "PNG"}
        try:
            with replacing(path) as temporary:
                picture.save(temporary, **form)
        except OSError as error:
            raise UsageError(
                f"The prediction {path} cannot be written ({error}); make room, and start again: the predictions that "
                "are there are kept."
            ) from error


class ReusingMapper:
    """A mapper of test images. Where a store has the prediction of an image, it returns ``classes``, not the image."""

    def __init__(self, mapper: Callable[[Record], Record], store: PredictionStore):
        self.mapper = mapper
        self.store = store

    def __call__(self, record: Record) -> Record:
        classes = self.store.read(record)
        return self.mapper(record) if classes is None else {**record, "classes": classes}


def place_of_image(record: Record, root: Path) -> Path:
    """The path of an image relative to the folder of its data set's images."""
    image = Path(record["file_name"])
    return image.relative_to(root) if image.is_relative_to(root) else Path(image.name)


def folder_of(dataset_name: str) -> str:
    """The folder of a data set's predictions: its registered name, or the stem of the file that describes it."""
    return Path(dataset_name).stem if is_dataset_file(dataset_name) else dataset_name


def label_ids(dataset_name: str) -> list[int]:
    """The id of each class in the label files of a data set.

    Raises:
        UsageError: a class has no id, or one that exceeds 16 bits.
    """
    metadata = MetadataCatalog.get(dataset_name)
    classes = metadata.stuff_classes
    label_map = metadata.get("label_map") or dict(enumerate(range(len(classes))))
    ids = {}
    for raw, mapped in sorted(label_map.items(), reverse=True):  # the smallest id of a class comes last, and stays
        ids[mapped] = raw
    for i, name in enumerate(classes):
        if not 0 <= ids.get(i, -1) <= LARGEST_ID:
            raise UsageError(
                f"Class {i} of {dataset_name} ({name}) has no id from 0 to {LARGEST_ID} in the label files, so that "
                "its predictions cannot be saved; correct the data set's label map, or leave --save-predictions out."
            )
    return [ids[i] for i in range(len(classes))]
