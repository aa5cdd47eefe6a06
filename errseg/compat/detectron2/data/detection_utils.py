"""Reading images."""

import numpy as np
from PIL import Image, ImageOps

from ..outside import outside
from ..utils.file_io import PathManager

__getattr__ = outside(globals())

__all__ = ["read_image"]


def read_image(file_name: str, format: str | None = None) -> np.ndarray:
    """Read an image and apply its EXIF orientation.

    Args:
        file_name: path of the file.
        format: ``RGB``, ``BGR``, another mode of PIL, or None for the file's own.

    Returns:
        (H, W, C), uint8 in 0-255 for 8-bit modes; ``L`` keeps C = 1.
    """
    with PathManager.open(file_name, "rb") as file:
        image = ImageOps.exif_transpose(Image.open(file))
        if format is not None:
            image = image.convert("RGB" if format == "BGR" else format)
        array = np.asarray(image)
    if format == "BGR":
        return array[:, :, ::-1]
    return array[:, :, None] if format == "L" else array
