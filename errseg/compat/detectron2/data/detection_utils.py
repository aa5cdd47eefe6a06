"""Reading images, checking their size, and the default augmentations."""

from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ..config import CfgNode
from ..utils.file_io import PathManager
from . import transforms as T

__all__ = ["SizeMismatchError", "build_augmentation", "check_image_size", "read_image"]


class SizeMismatchError(ValueError):
    """An image has another size than its record says."""


def read_image(file_name: str, format: str | None = None) -> np.ndarray:
    """Read an image, turned as its EXIF says.

    Args:
        file_name: path of the file.
        format: ``RGB``, ``BGR``, another mode of PIL, or None for the file's own.

    Returns:
        (H, W, C), uint8 in 0-255 for 8-bit modes; one-channel modes (``L``) keep C = 1.
    """
    with PathManager.open(file_name, "rb") as file:
        image = ImageOps.exif_transpose(Image.open(file))
        if format is not None:
            image = image.convert("RGB" if format == "BGR" else format)
        array = np.asarray(image)
    if format == "BGR":
        return array[:, :, ::-1]
    return array[:, :, None] if format == "L" else array


def check_image_size(dataset_dict: dict[str, Any], image: np.ndarray) -> None:
    """Compare a record's ``width`` and ``height`` with its image's, and fill in those that are missing, in place.

    Raises:
        SizeMismatchError: where they differ.
    """
    height, width = image.shape[:2]
    expected = dataset_dict.setdefault("width", width), dataset_dict.setdefault("height", height)
    if expected != (width, height):
        raise SizeMismatchError(
            f"Mismatched image shape for image {dataset_dict.get('file_name', '')}, got {(width, height)}, expect "
            f"{expected}. Please check the width/height in your annotation."
        )


def build_augmentation(cfg: CfgNode, is_train: bool) -> list[T.Augmentation]:
    """Resizing of the shorter side, and in training a flip, from ``cfg.INPUT``."""
    inputs = cfg.INPUT
    if not is_train:
        return [T.ResizeShortestEdge(inputs.MIN_SIZE_TEST, inputs.MAX_SIZE_TEST, "choice")]
    augmentations: list[T.Augmentation] = [
        T.ResizeShortestEdge(inputs.MIN_SIZE_TRAIN, inputs.MAX_SIZE_TRAIN, inputs.MIN_SIZE_TRAIN_SAMPLING)
    ]
    if inputs.RANDOM_FLIP != "none":
        horizontal, vertical = inputs.RANDOM_FLIP == "horizontal", inputs.RANDOM_FLIP == "vertical"
        augmentations.append(T.RandomFlip(horizontal=horizontal, vertical=vertical))
    return augmentations
