"""Read a data set's labels as class ids, whatever ids its files hold."""

from collections.abc import Mapping

import numpy as np
from detectron2.data import MetadataCatalog

from errseg.config import MAX_PIXELS
from errseg.errors import UsageError

from .files import LABEL_REMEDY, check_label_ids, check_label_size, read_label, read_orientation
from .label_keys import LabelKeys
from .pictures import turn

__all__ = ["LabelReader"]

UNKNOWN = -1


class LabelReader:
    """Reads the label files of one registered data set.

    It can be sent to processes that have not registered the data set.
    """

    def __init__(self, dataset_name: str):
        """
        Args:
            dataset_name: registered name; its metadata hold ``stuff_classes``, ``ignore_label`` and ``label_map``, and
                for a data-set file also ``label_keys``.
        """
        metadata = MetadataCatalog.get(dataset_name)
        self.num_classes = len(metadata.stuff_classes)
        self.ignore_label = metadata.ignore_label
        self.label_map = metadata.get("label_map")
        self.remedy = metadata.get("label_remedy", LABEL_REMEDY)
        keys: LabelKeys | None = metadata.get("label_keys")
        self.from_file = keys is not None
        self.colors, self.exif, self.explicit = (keys.colors, keys.exif, keys.explicit) if keys else (None, "", False)
        self.largest_id = max(self.label_map or [self.num_classes - 1, self.ignore_label])  # that a file may hold
        self._table = None if self.label_map is None else _as_table(self.label_map)

    def __call__(self, path: str, image_path: str, size: tuple[int, int]) -> np.ndarray:
        """Read a label.

        Args:
            path: the label file.
            image_path: its image, for messages.
            size: (height, width) of the image.

        Returns:
            (H, W) int32 class ids, ``ignore_label`` where a pixel does not count.

        Raises:
            UsageError: the file is missing or corrupt, has another size than its image, or holds an unknown id.
        """
        label = self.read(path, image_path)
        check_label_size(label, path, image_path, size)
        return self.to_classes(label, path)

    def read(self, path: str, image_path: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """The ids of a label file, (H, W). Labels drawn on unturned images (``exif: stored``) are turned with them.

        Raises:
            UsageError: the file cannot be read.
        """
        label = read_label(path, self.colors, max_pixels)
        return turn(label, read_orientation(image_path, max_pixels)) if self.exif == "stored" else label

    def bits_of(self, label: np.ndarray) -> int:
        """Bits per pixel in the file that a label was read from."""
        return 8 * label.dtype.itemsize if self.colors is None else 24

    def to_classes(self, label: np.ndarray, path: str) -> np.ndarray:
        """Map the ids of a file to class ids, (H, W) int32.

        Args:
            label: (H, W) as :func:`errseg.data.files.read_label` reads it.
            path: the file, for messages.

        Raises:
            UsageError: it holds an unknown id.
        """
        if self._table is None:
            try:
                check_label_ids(label, path, self.num_classes, self.ignore_label, self.remedy)
            except UsageError as error:
                raise UsageError(f"{error}{self._two_values(label)}") from None
            return label.astype(np.int32)
        ids = label.astype(np.int32)
        last = len(self._table) - 1  # this entry is UNKNOWN, and stands for every id beyond the map
        mapped = self._table[np.where((ids >= 0) & (ids < last), ids, last)]
        if (mapped == UNKNOWN).any():
            raise UsageError(
                f"The label {path} holds the id {ids[mapped == UNKNOWN].max()}, but its data set knows only "
                f"{_ranges(sorted(self.label_map))}; {self.remedy}."
            )
        return mapped

    def _two_values(self, label: np.ndarray) -> str:
        """The remedy for a mask of two values where one of them is no class id; "" for other labels."""
        values = np.unique(label).tolist()
        if self.num_classes != 2 or len(values) != 2 or not self.from_file:
            return ""
        return f" It is a mask of two values; values: {{{values[0]}: 0, {values[1]}: 1}} makes them the two classes."


def _as_table(label_map: Mapping[int, int]) -> np.ndarray:
    """The map as an array indexed by raw id, with UNKNOWN in the gaps and at the end."""
    table = np.full(max(label_map) + 2, UNKNOWN, np.int32)
    table[list(label_map)] = list(label_map.values())
    return table


def _ranges(ids: list[int]) -> str:
    """Sorted ids in short: ``0 to 18, 20``."""
    spans: list[list[int]] = []
    for value in ids:
        if spans and value == spans[-1][1] + 1:
            spans[-1][1] = value
        else:
            spans.append([value, value])
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in spans)
