"""Predictions on disk, as label files of their data set, so that an interrupted evaluation goes on where it was.

FOLDER/manifest.json        what they were made with: weights, settings, vocabularies
FOLDER/<set>/<image>.png    ids as in the set's own label files (.tif of 16 bits where there are more than 255)
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from errseg.atomic import replacing
from errseg.data.custom import is_dataset_file
from errseg.data.files import check_label_size, read_image_size, read_label
from errseg.errors import UsageError
from errseg.locking import LOCK

__all__ = ["PredictionStore", "ReusingMapper", "check_manifest", "manifest_of", "read_manifest", "write_manifest"]

MANIFEST = "manifest.json"
LARGEST_ID = 65535
Record = dict[str, Any]
Manifest = dict[str, Any]


class PredictionStore:
    """The predictions of one data set.

    A picture holds what the set's label files hold: where they are read through a label map (an offset, a reduced zero
    label, held-out classes), the id that the map gives to the predicted class, the smallest if there are several.
    """

    def __init__(self, folder: str | Path, dataset_name: str):
        """
        Args:
            folder: of the predictions of all sets.
            dataset_name: a registered data set.

        Raises:
            UsageError: a class has no id of 16 bits in the label files, so that no file can hold it.
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
        """Check that each image has a file of its own.

        Raises:
            UsageError: two images would share one.
        """
        images: dict[Path, str] = {}
        for record in records:
            other = images.setdefault(self.path(record), record["file_name"])
            if other != record["file_name"]:
                raise UsageError(
                    f"The images {other} and {record['file_name']} of {self.dataset_name} differ in their endings or "
                    "folders alone, so that their predictions would be one file; rename one of them."
                )

    def path(self, record: Record) -> Path:
        """The file of an image's prediction, which lies in the store as the image does in the data set."""
        return self.root / place_of_image(record, self.image_root).with_suffix(self.suffix)

    def read(self, record: Record) -> np.ndarray | None:
        """The predicted classes (H, W) int32 of an image; None where no whole prediction of its size is there."""
        try:
            return self.load(record) if self.path(record).is_file() else None
        except UsageError:
            return None

    def load(self, record: Record) -> np.ndarray:
        """The predicted classes (H, W) int32 of an image.

        Raises:
            UsageError: the prediction is missing, damaged, of another size than the image, or of other ids.
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
            UsageError: the folder or the disk does not take it, or the folder's manifest has been removed.
        """
        manifest = self.root.parent / MANIFEST
        if not manifest.is_file():  # without it, no later run could take the folder
            raise UsageError(
                f"--save-predictions {manifest.parent} has lost its {MANIFEST} during the evaluation; see who removes "
                "its files, or name another folder, and start again."
            )
        picture, path = Image.fromarray(self.ids[classes].astype(self.dtype)), self.path(record)
        form = {"format": "TIFF", "compression": "tiff_deflate"} if self.suffix == ".tif" else {"format": "PNG"}
        try:
            with replacing(path) as temporary:
                picture.save(temporary, **form)
        except OSError as error:
            raise UsageError(
                f"The prediction {path} cannot be written ({error}); make room, and start again: what is there stays."
            ) from error


class ReusingMapper:
    """A mapper of test images that gives, in place of an image, the ``classes`` that a store has for it."""

    def __init__(self, mapper: Callable[[Record], Record], store: PredictionStore):
        self.mapper = mapper
        self.store = store

    def __call__(self, record: Record) -> Record:
        classes = self.store.read(record)
        return self.mapper(record) if classes is None else {**record, "classes": classes}


def place_of_image(record: Record, root: Path) -> Path:
    """Where an image lies under the folder of its data set's images."""
    image = Path(record["file_name"])
    return image.relative_to(root) if image.is_relative_to(root) else Path(image.name)


def folder_of(dataset_name: str) -> str:
    """The folder of a data set's predictions: its registered name, or the stem of the file that describes it."""
    return Path(dataset_name).stem if is_dataset_file(dataset_name) else dataset_name


def label_ids(dataset_name: str) -> list[int]:
    """The id of each class in the label files of a data set.

    Raises:
        UsageError: a class has none, or one beyond 16 bits.
    """
    metadata = MetadataCatalog.get(dataset_name)
    classes = metadata.stuff_classes
    label_map = metadata.get("label_map") or dict(enumerate(range(len(classes))))
    ids = {}
    for raw, mapped in sorted(label_map.items(), reverse=True):  # the smallest id of a class comes last
        ids[mapped] = raw
    for i, name in enumerate(classes):
        if not 0 <= ids.get(i, -1) <= LARGEST_ID:
            raise UsageError(
                f"Class {i} of {dataset_name} ({name}) has no id from 0 to {LARGEST_ID} in the label files, so that "
                "its predictions cannot be saved; correct the data set's label map, or leave --save-predictions out."
            )
    return [ids[i] for i in range(len(classes))]


def manifest_of(weights: str, settings: dict[str, Any], names: list[str]) -> Manifest:
    """What predictions depend on: a digest of the weights, settings by key, and the vocabulary of each data set.

    A data set that a file describes has a digest of its images too, since another file may have the same stem.
    """
    sets = {}
    for name in names:
        metadata = MetadataCatalog.get(name)
        classes = metadata.stuff_classes
        asked = [metadata.get("prompts", classes), metadata.get("prompt_classes", list(range(len(classes))))]
        content = json.dumps([asked, label_ids(name), metadata.get("num_classes_test", 0)])
        entry = {"dataset": name, "vocabulary": hashlib.sha256(content.encode()).hexdigest()}
        sets[folder_of(name)] = {**entry, "images": images_digest(name) if is_dataset_file(name) else None}
    return {"weights": weights, "settings": settings, "sets": sets}


def images_digest(dataset_name: str) -> str:
    """SHA-256 of the places and sizes in bytes of a data set's images, the same wherever the data set lies."""
    root = Path(MetadataCatalog.get(dataset_name).get("image_root", ""))
    images = sorted(
        (place_of_image(record, root).as_posix(), Path(record["file_name"]).stat().st_size)
        for record in DatasetCatalog.get(dataset_name)
    )
    return hashlib.sha256(json.dumps(images).encode()).hexdigest()


def check_manifest(folder: str | Path, manifest: Manifest, names: list[str]) -> Manifest:
    """What a folder's manifest becomes when the predictions of ``manifest`` go there too.

    Raises:
        UsageError: the folder holds predictions of something else, or two data sets share a folder.
    """
    if len(manifest["sets"]) < len(names):
        raise UsageError(
            f"Two of the data sets {', '.join(names)} would save their predictions in one folder, since their files "
            "have the same stem; rename one, or save them into two folders."
        )
    path = Path(folder) / MANIFEST
    if not path.is_file():
        if path.parent.exists() and not path.parent.is_dir():
            raise UsageError(f"--save-predictions {folder} is a file; name a folder.")
        if path.parent.is_dir() and any(each.name != LOCK for each in path.parent.iterdir()):
            raise UsageError(
                f"--save-predictions {folder} holds files but no {MANIFEST}, so nobody knows what they were predicted "
                "with; name an empty folder, or a new one."
            )
        return manifest
    earlier = read_manifest(folder)
    differences = _differences(earlier, manifest)
    if differences:
        raise UsageError(
            f"--save-predictions {folder} holds the predictions of another model or data set "
            f"({'; '.join(differences)}); name another folder, or delete this one."
        )
    return {**manifest, "sets": earlier["sets"] | manifest["sets"]}


def read_manifest(folder: str | Path) -> Manifest:
    """The manifest of a folder of predictions.

    Raises:
        UsageError: there is none, or it is damaged.
    """
    path = Path(folder) / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(manifest["weights"], str) or not isinstance(manifest["settings"], dict):
            raise ValueError("no weights or settings")
        for entry in manifest["sets"].values():
            entry["vocabulary"]
    except FileNotFoundError as error:
        raise UsageError(f"{folder} has no {MANIFEST}: it is no folder of --save-predictions; name one.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path} is damaged ({error}); name another folder, or delete this one.") from error
    return manifest


def write_manifest(folder: str | Path, manifest: Manifest) -> None:
    """Write the manifest of a folder of predictions.

    Raises:
        UsageError: the folder cannot be written.
    """
    try:
        with replacing(Path(folder) / MANIFEST) as temporary:
            temporary.write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--save-predictions {folder} cannot be written ({error}); name another folder.") from error


def _differences(earlier: Manifest, now: Manifest) -> list[str]:
    """In words, what two manifests differ in."""
    found = []
    if earlier["weights"] != now["weights"]:
        found.append(f"weights {earlier['weights'][:12]}, now {now['weights'][:12]}")
    before, after = earlier["settings"], now["settings"]
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            found.append(f"{key} {before.get(key)!r}, now {after.get(key)!r}")
    for folder in earlier["sets"].keys() & now["sets"].keys():
        if earlier["sets"][folder]["vocabulary"] != now["sets"][folder]["vocabulary"]:
            found.append(f"another vocabulary, K or label map of {folder}")
        if earlier["sets"][folder].get("images") != now["sets"][folder]["images"]:
            found.append(f"other images of {folder}")
    return found
