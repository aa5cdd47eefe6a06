"""Reading an image and a label from disk, with errors that name the file."""

import numpy as np
from detectron2.data.detection_utils import read_image
from PIL import Image

from errseg.errors import UsageError

__all__ = ["LABEL_REMEDY", "check_label_ids", "check_label_size", "read_image_size", "read_label", "read_rgb"]

LABEL_REMEDY = "convert the label or correct the vocabulary"

EXIF_ORIENTATION = 0x0112
TURNED = (5, 6, 7, 8)  # orientations by a quarter turn

# What Pillow raises on a truncated, mislabelled or oversized file.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def read_rgb(path: str) -> np.ndarray:
    """Read an image, turned as its EXIF orientation says: uint8 RGB, (H, W, 3).

    Raises:
        UsageError: the file is missing, corrupt, or has more pixels than Pillow's guard allows.
    """
    try:
        return read_image(path, format="RGB")
    except _UNREADABLE as error:
        raise _unreadable("image", path, error) from error


def read_image_size(path: str) -> tuple[int, int]:
    """(height, width) of the image that :func:`read_rgb` would give, from the file's header alone.

    Raises:
        UsageError: the file is missing, no image, or has more pixels than Pillow's guard allows.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(EXIF_ORIENTATION, 1) in TURNED
    except _UNREADABLE as error:
        raise _unreadable("image", path, error) from error
    return (width, height) if turned else (height, width)


def read_label(path: str) -> np.ndarray:
    """Read a label map of 8 or 16 bits (PNG, TIFF): (H, W), of the file's own integer type.

    A palette image gives its indices.

    Raises:
        UsageError: the file is missing, corrupt, or has more than one channel.
    """
    try:
        with Image.open(path) as image:
            label = np.asarray(image)
    except _UNREADABLE as error:
        raise _unreadable("label", path, error) from error
    if label.ndim != 2 or not np.issubdtype(label.dtype, np.integer):
        raise UsageError(
            f"The label {path} is an array of {label.dtype} of shape {label.shape}; "
            "a label holds one class id a pixel: an 8-bit or 16-bit PNG or TIFF of one channel."
        )
    return label


def check_label_ids(
    label: np.ndarray, path: str, num_classes: int, ignore_label: int, remedy: str = LABEL_REMEDY
) -> None:
    """Check that every id of a label (H, W) is a class or ``ignore_label``.

    Raises:
        UsageError: one is not.
    """
    counts = label != ignore_label
    worst = label.max(initial=0, where=counts)
    if worst < num_classes:
        worst = label.min(initial=0, where=counts)  # 32-bit files may hold negative ids
    if not 0 <= worst < num_classes:
        raise UsageError(
            f"The label {path} holds the id {worst}, but the vocabulary of its data set has {num_classes} names "
            f"(ids 0 to {num_classes - 1}, {ignore_label} ignored); {remedy}."
        )


def check_label_size(label: np.ndarray, path: str, image_path: str, size: tuple[int, int]) -> None:
    """Check that a label (H, W) has the (height, width) of its image.

    Raises:
        UsageError: it has another.
    """
    if label.shape != size:
        raise UsageError(
            f"The image {image_path} has {size[1]} × {size[0]} pixels, its label {path} "
            f"{label.shape[1]} × {label.shape[0]}; they must agree: prepare the data set again."
        )


def _unreadable(kind: str, path: str, error: Exception) -> UsageError:
    if isinstance(error, FileNotFoundError):
        return UsageError(f"The {kind} {path} does not exist; restore it or take it out of the data set.")
    if isinstance(error, Image.DecompressionBombError):
        limit = 2 * Image.MAX_IMAGE_PIXELS
        return UsageError(f"The {kind} {path} has more than {limit} pixels, Pillow's limit; make it smaller.")
    return UsageError(f"The {kind} {path} cannot be read ({error}); restore it or take it out of the data set.")
