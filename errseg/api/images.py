"""Whatever somebody calls a picture, as (H, W, 3) uint8 RGB, or a sentence that says why not."""

import os
from typing import Any

import numpy as np
from PIL import Image
from PIL.ExifTags import Base

from errseg.errors import UsageError

__all__ = ["read_image"]

WIDE = ("I;16", "I;16L", "I;16B", "I;16N", "I")  # greys of 16 bits, some in 32
UPRIGHT = {  # by EXIF's orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(source: Any) -> np.ndarray:
    """Read a picture.

    Files and PIL images are turned as their EXIF orientation says; grey, palette, CMYK and other modes become RGB;
    what is transparent shows white; 16-bit values are divided by 257. Of an animation, the first frame counts.

    Args:
        source: path of an image file, PIL image, or array of uint8 or uint16: (H, W), or (H, W, 3) RGB, or (H, W, 4)
            RGBA. OpenCV's arrays are BGR: give ``image[:, :, ::-1]``.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        UsageError: there is no such file, it is no whole image or too large a one, or something else was given.
    """
    if isinstance(source, (str, os.PathLike)):
        return _read_file(os.fspath(source))
    if isinstance(source, Image.Image):
        try:
            return _from_pil(source)
        except (UsageError, MemoryError):
            raise
        except Exception as error:  # a file that Pillow opened, but that is not whole
            raise UsageError(f"The image cannot be read ({error}); give a whole one.") from error
    if isinstance(source, np.ndarray):
        return _from_array(source)
    raise UsageError(
        f"An image is a {type(source).__name__}; give a path, a PIL image, or an (H, W, 3) array of uint8 RGB."
    )


def _read_file(path: str) -> np.ndarray:
    if "://" in path:
        raise UsageError(f"The image {path} is an address on the web; download it, and give the file.")
    if not os.path.isfile(path):
        raise UsageError(f"The image {path} does not exist or is no file; give the path of one.")
    try:
        with Image.open(path) as image:
            return _from_pil(image)
    except Image.DecompressionBombError as error:
        limit = 2 * Image.MAX_IMAGE_PIXELS
        raise UsageError(f"The image {path} has more than {limit} pixels, Pillow's limit; make it smaller.") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise all kinds of errors on damaged bytes
        raise UsageError(f"The image {path} cannot be read ({error}); give a whole JPEG, PNG or the like.") from error


def _from_pil(image: Image.Image) -> np.ndarray:
    image = _upright(image)
    if image.mode in WIDE:
        values = np.asarray(image)
        if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
            raise UsageError(
                f"The image has values from {values.min()} to {values.max()}; give one of 8 or 16 bits a channel."
            )
        return _from_array(values.astype(np.uint16))
    if image.mode == "F":
        raise UsageError("The image has floating-point values, whose range nobody knows; give one of 8 or 16 bits.")
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return _from_array(np.asarray(image.convert("RGB")))


def _upright(image: Image.Image) -> Image.Image:
    """Turned as EXIF says. Pillow's own function writes EXIF anew too, which fails where a part of it is damaged."""
    image.load()
    try:
        method = UPRIGHT.get(image.getexif().get(Base.Orientation))
    except Exception:  # damaged EXIF does not make the picture less of one
        return image
    return image if method is None else image.transpose(method)


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
