"""Reading an image and a label of a data set from disk, with errors that name the file."""

import os

import numpy as np
from PIL import Image

from errseg.config import MAX_PIXELS
from errseg.errors import UsageError

from .pictures import WIDE, load_whole, open_image, orientation_of, pixels_of, size_of

__all__ = [
    "LABEL_REMEDY",
    "check_label_ids",
    "check_label_size",
    "read_image_size",
    "read_label",
    "read_orientation",
    "read_rgb",
]

LABEL_REMEDY = "convert the label or correct the vocabulary"
RESTORE = "restore it or take it out of the data set"
SCALES = {"L;2": 85, "L;4": 17}  # factors by which Pillow multiplies grey values of 2 and 4 bits

Colors = dict[tuple[int, int, int], int]


def read_rgb(path: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read an image as :mod:`errseg.data.pictures` describes: uint8 RGB, (H, W, 3).

    Raises:
        UsageError: the file is missing, corrupt, has values of no known range, or has more than ``max_pixels``.
    """
    with open_image(path, "image", RESTORE, max_pixels) as image:
        try:
            return pixels_of(image)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error


def read_image_size(path: str, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(height, width) of the image that :func:`read_rgb` would give, from the file's header alone.

    Raises:
        UsageError: the file is missing, no image, or has more than ``max_pixels``.
    """
    with open_image(path, "image", RESTORE, max_pixels) as image:
        return size_of(image)


def read_orientation(path: str, max_pixels: int = MAX_PIXELS) -> int:
    """The EXIF orientation, 1 to 8, by which :func:`read_rgb` turns an image, from the file's header alone.

    Raises:
        UsageError: the file is missing, no image, or has more than ``max_pixels``.
    """
    with open_image(path, "image", RESTORE, max_pixels) as image:
        return orientation_of(image)


def read_label(path: str, colors: Colors | None = None, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a label map (PNG, TIFF): (H, W), of the file's own integer type.

    A palette image gives its indices. An image of 1, 2 or 4 bits gives the values that it stores (0 and 1, …). An
    opaque alpha channel is dropped.

    Args:
        path: the file: of one channel, or of 8-bit colours where ``colors`` is given.
        colors: the id of each RGB colour. Where it is given, every label is read as colours, also grey and palette
            ones.
        max_pixels: larger files are refused before they are decoded.

    Raises:
        UsageError: the file is missing, corrupt or too large; it is transparent somewhere; it has several channels
            though ``colors`` is None, or a colour that ``colors`` does not hold.
    """
    with open_image(path, "label", RESTORE, max_pixels) as image:
        raw = str(getattr(image, "tile", ""))  # how Pillow decodes the file's bits
        load_whole(image)
        _check_alpha(image, path)
        cut = ";16" in raw and not image.mode.startswith("I")  # Pillow keeps 8 bits of each channel
        if colors is not None and not cut and image.mode not in WIDE and image.mode != "F":
            return _ids_of_colors(np.asarray(image.convert("RGB")), colors, path)
        label = np.asarray(image.getchannel(0) if image.mode in ("LA", "PA") and not cut else image)
    scale = next((scale for mode, scale in SCALES.items() if repr(mode) in raw), 1)
    if label.dtype == bool or scale > 1:
        label = label.astype(np.uint8) // np.uint8(scale)
    if label.ndim != 2 or not np.issubdtype(label.dtype, np.integer) or colors is not None:
        hint = (
            "; give the key colors in the data-set file where its colours stand for classes" if label.ndim == 3 else ""
        )
        raise UsageError(
            f"The label {path} is an array of {label.dtype} of shape {label.shape}; "
            f"a label holds one class id a pixel: an 8-bit or 16-bit PNG or TIFF of one channel{hint}."
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
        UsageError: the sizes differ.
    """
    if label.shape == size:
        return
    remedy = "they must agree: prepare the data set again"
    if label.shape == size[::-1] and os.path.isfile(image_path) and read_orientation(image_path) != 1:
        remedy = (
            "the EXIF orientation turns the image, and the label is drawn on the pixels before that: turn the label, "
            "or give exif: stored in the data-set file"
        )
    raise UsageError(
        f"The image {image_path} has {size[1]} × {size[0]} pixels, its label {path} "
        f"{label.shape[1]} × {label.shape[0]}; {remedy}."
    )


def _check_alpha(image: Image.Image, path: str) -> None:
    """Refuse an alpha channel that is not opaque everywhere."""
    if image.mode not in ("LA", "PA", "RGBA", "La", "RGBa"):
        return
    least, _ = image.getchannel(len(image.getbands()) - 1).getextrema()
    if least < 255:
        raise UsageError(
            f"The label {path} has an alpha channel that is not opaque everywhere, so that the ids below it may mean "
            "nothing; write it without alpha, with the ignored id where it is transparent."
        )


def _ids_of_colors(picture: np.ndarray, colors: Colors, path: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (H, W) int32 ids."""
    codes = picture.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    known = {(r << 16) + (g << 8) + b: index for (r, g, b), index in colors.items()}
    keys = np.array(sorted(known), np.int32)
    places = np.searchsorted(keys, codes).clip(max=len(keys) - 1)
    unknown = keys[places] != codes
    if unknown.any():
        found, counts = np.unique(codes[unknown], return_counts=True)
        worst = int(found[counts.argmax()])
        color = f"#{worst:06x} ({worst >> 16}, {worst >> 8 & 255}, {worst & 255})"
        raise UsageError(
            f"The label {path} has {len(found)} colours that the key colors does not name, most often {color}, at "
            f"{counts.max()} pixels; add them, or write the label anew without smoothing and lossy compression."
        )
    return np.array([known[key] for key in keys.tolist()], np.int32)[places]
