"""Turn a record of a data set into the model's input."""

from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import transforms as T

from errseg.config import MAX_PIXELS
from errseg.errors import UsageError

from .augmentation import build_augmentations
from .files import read_rgb
from .labels import LabelReader

__all__ = ["SemSegMapper"]


class SemSegMapper:
    """Reads an image and, in training, its label; applies the same augmentations to both; makes tensors.

    In training, a label whose pixels are all ignored makes None, so that the loader takes another image: it is common
    where a split holds classes out, and nothing can be learned from it.

    The result holds the record's own entries, ``image`` (3, H, W) uint8 RGB, ``height`` and ``width`` of the image on
    disk, and in training ``sem_seg`` (H, W) int64. Randomness comes from numpy's global generator alone, which
    :class:`errseg.data.build.TrainingStream` seeds for each position.
    """

    @configurable
    def __init__(
        self,
        augmentations: list[T.Augmentation],
        *,
        labels: LabelReader | None = None,
        ignore_label: int = 255,
        max_pixels: int = MAX_PIXELS,
    ):
        """
        Args:
            augmentations: applied in this order.
            labels: reads the labels of the training data; None: no label is read.
            ignore_label: the model's ignore label, which replaces that of the data set.
            max_pixels: of an image file; larger files are refused.
        """
        if labels and ignore_label < labels.num_classes:
            raise UsageError(
                f"MODEL.SEM_SEG_HEAD.IGNORE_VALUE {ignore_label} is a class of the training data, "
                f"which has {labels.num_classes}; set it to {labels.ignore_label}."
            )
        self.augmentations = T.AugmentationList(augmentations)
        self.labels = labels
        self.ignore_label = ignore_label
        self.max_pixels = max_pixels

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        if cfg.INPUT.FORMAT != "RGB":
            raise UsageError(f"INPUT.FORMAT is {cfg.INPUT.FORMAT!r}, but the CLIP towers take RGB; set it to RGB.")
        arguments = {"augmentations": build_augmentations(cfg, is_train), "max_pixels": cfg.INPUT.MAX_PIXELS}
        if is_train:
            arguments["labels"] = LabelReader(cfg.DATASETS.TRAIN[0])  # the other training sets have the same labels
            arguments["ignore_label"] = cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
        return arguments

    def __call__(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """
        Args:
            record: has ``file_name``, and in training ``sem_seg_file_name``; it is not changed.

        Returns:
            The input of the model; None in training where every pixel is ignored.

        Raises:
            UsageError: a file is missing or corrupt, image and label differ in size, or a label holds an unknown id.
        """
        image = read_rgb(record["file_name"], self.max_pixels)
        height, width = image.shape[:2]
        result = {**record, "height": height, "width": width}
        inputs = T.AugInput(image)
        if self.labels:
            inputs.sem_seg = self._read_label(record["sem_seg_file_name"], record["file_name"], (height, width))
            if (inputs.sem_seg == self.ignore_label).all():
                return None
        try:
            self.augmentations(inputs)
        except ValueError as error:  # a side of less than a pixel
            raise UsageError(
                f"The image {record['file_name']} of {width} × {height} pixels cannot be resized as INPUT.MIN_SIZE_* "
                f"and INPUT.MAX_SIZE_* ask ({error}); change them, or take it out of the data set."
            ) from error
        result["image"] = torch.from_numpy(np.ascontiguousarray(inputs.image.transpose(2, 0, 1)))
        if self.labels:
            result["sem_seg"] = torch.from_numpy(inputs.sem_seg.astype(np.int64))
        return result

    def _read_label(self, path: str, image_path: str, size: tuple[int, int]) -> np.ndarray:
        label = self.labels(path, image_path, size)
        # Detectron2 resizes uint8 arrays by Pillow and floating-point ones by PyTorch; neither takes wider integers.
        dtype = np.uint8 if self.ignore_label <= 255 else np.float32
        return np.where(label == self.labels.ignore_label, self.ignore_label, label).astype(dtype)
