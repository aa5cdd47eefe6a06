"""Read a picture from a path, a PIL image or an array, as (H, W, 3) uint8 RGB."""

import io
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from PIL import Image

from errseg.config import MAX_PIXELS
from errseg.data.pictures import check_pixels, open_image, pixels_of
from errseg.errors import UsageError

__all__ = ["Picture", "decode_image", "is_single", "own_array", "read_image"]

Picture = str | os.PathLike | Image.Image | np.ndarray
# ``read_image`` refuses the last three
SINGLE = (str, os.PathLike, Image.Image, np.ndarray, bytes, torch.Tensor, io.IOBase)
REMEDY = "give the path of a whole JPEG, PNG or similar file"


def is_single(images: Any) -> bool:
    """Whether an argument is one picture, or what a caller gives in its place, and not several pictures."""
    return isinstance(images, SINGLE) or not isinstance(images, Iterable)


def read_image(source: Any, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a picture.

    :mod:`errseg.data.pictures` reads files and PIL images: it turns them upright, puts transparency over white and
    divides 16-bit values by 257.

    Args:
        source: path of an image file, PIL image, or array of uint8 or uint16: (H, W), or (H, W, 3) RGB, or (H, W, 4)
            RGBA. OpenCV's arrays are BGR: give ``image[:, :, ::-1]``.
        max_pixels: limit for files and PIL images; larger ones are refused before they are decoded.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        UsageError: the file does not exist; the image is damaged or too large; or ``source`` has another type.
    """
    if isinstance(source, (str, os.PathLike)):
        return _read_file(os.fspath(source), max_pixels)
    if isinstance(source, Image.Image):
        check_pixels(source, "The image", max_pixels)
        try:
            return pixels_of(source)
        except (UsageError, MemoryError):
            raise
        except Exception as error:  # Pillow opened the file, but its content is damaged
            raise UsageError(f"The image cannot be read ({error}); give a whole one.") from error
    if isinstance(source, np.ndarray):
        return _from_array(source)
    raise UsageError(
        f"An image is a {type(source).__name__}; give a path, a PIL image, or an (H, W, 3) array of uint8 RGB."
    )


def _read_file(path: str, max_pixels: int) -> np.ndarray:
    if "://" in path:
        raise UsageError(f"The image {path} is an address on the web; download it, and give the file.")
    return _decode(path, max_pixels)


def decode_image(content: bytes, name: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The pixels of an image file that has been read: those of ``read_image`` for the same file.

    Args:
        content: the bytes of the file.
        name: of the file, for messages.
        max_pixels: as for ``read_image``.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        UsageError: the image is damaged or too large.
    """
    return _decode(name, max_pixels, content)


def own_array(array: np.ndarray, picture: Picture) -> np.ndarray:
    """A copy of the array if it shares memory with the caller's picture; the array itself otherwise."""
    return array.copy() if isinstance(picture, np.ndarray) and np.may_share_memory(array, picture) else array


def _decode(path: str, max_pixels: int, content: bytes | None = None) -> np.ndarray:
    with open_image(path, "image", REMEDY, max_pixels, content=content) as image:
        try:
            return pixels_of(image)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.dtype not in (np.uint8, np.uint16):
        raise UsageError(f"The image is an array of {array.dtype}; give uint8, 0 to 255.")
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        hint = " (channels come last: array.transpose(1, 2, 0))" if array.ndim == 3 and array.shape[0] == 3 else ""
        raise UsageError(f"The image is an array of shape {array.shape}; give (H, W, 3){hint}.")
    if 0 in array.shape:
        raise UsageError(f"The image is an array of shape {array.shape}, which has no pixels; give one that has.")
    if array.dtype == np.uint16:
        array = (array // 257).astype(np.uint8)
    if array.shape[2] == 4:
        share = array[:, :, 3:] / np.float32(255)
        array = np.rint(array[:, :, :3] * share + 255 * (1 - share)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))
