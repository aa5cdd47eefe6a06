"""Turn a region of an image into a square crop: section 8 of DeOP's contract.

Shapes: H x W the image's size, S the side of the crop.
"""

from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import transforms as T

from errseg.config import MAX_PIXELS
from errseg.errors import UsageError

from .augmentation import CropToMask, RandomResizedCrop, ResizeToSquare, build_flips
from .files import read_rgb
from .labels import LabelReader

__all__ = ["RegionMapper"]


class RegionMapper:
    """Reads an image and its label, cuts both to the box of one class, and makes a square crop of it.

    The result holds the record's own entries, ``image`` (3, S, S) uint8 RGB, and ``mask`` (S, S) bool, which is True at
    the pixels of the class ``class_id``. In training the crop is drawn by numpy's global generator; a crop without a
    pixel of the class makes None, so that the loader takes another region.
    """

    @configurable
    def __init__(
        self,
        augmentations: list[T.Augmentation],
        labels: LabelReader,
        *,
        is_train: bool = True,
        max_pixels: int = MAX_PIXELS,
    ):
        """
        Args:
            augmentations: make the crop from the image and the mask.
            labels: reads the labels.
            is_train: whether a crop without a pixel of the class makes None.
            max_pixels: of an image or label file; larger files are refused.
        """
        self.augmentations = T.AugmentationList(augmentations)
        self.labels = labels
        self.is_train = is_train
        self.max_pixels = max_pixels

    @classmethod
    def from_config(cls, cfg: CfgNode, dataset_name: str, is_train: bool = True) -> dict[str, Any]:
        inputs = cfg.INPUT
        if inputs.FORMAT != "RGB":
            raise UsageError(f"INPUT.FORMAT is {inputs.FORMAT!r}, but the CLIP towers take RGB; set it to RGB.")
        crop = [RandomResizedCrop(inputs.RESOLUTION_TRAIN), *build_flips(cfg)]
        return {
            "augmentations": [CropToMask(), *(crop if is_train else [ResizeToSquare(inputs.RESOLUTION_TEST)])],
            "labels": LabelReader(dataset_name),
            "is_train": is_train,
            "max_pixels": inputs.MAX_PIXELS,
        }

    def __call__(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """
        Args:
            record: has ``file_name``, ``sem_seg_file_name`` and ``class_id``; it is not changed.

        Returns:
            The input of the model; None in training where the crop has no pixel of the class.

        Raises:
            UsageError: a file is missing or corrupt, image and label differ in size, or the label does not hold the
                class.
        """
        path, class_id = record["sem_seg_file_name"], record["class_id"]
        image = read_rgb(record["file_name"], self.max_pixels)
        mask = self.labels(path, record["file_name"], image.shape[:2]) == class_id
        if not mask.any():
            raise UsageError(
                f"The label {path} holds no pixel of the class {class_id}, which it held when the labels were scanned; "
                "start again, so that they are scanned anew."
            )
        inputs = T.AugInput(image, sem_seg=mask.astype(np.uint8))
        self.augmentations(inputs)
        if self.is_train and not inputs.sem_seg.any():
            return None
        crop = torch.from_numpy(np.ascontiguousarray(inputs.image.transpose(2, 0, 1)))
        return {**record, "image": crop, "mask": torch.from_numpy(inputs.sem_seg.astype(bool))}
