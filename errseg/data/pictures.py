"""The one reader of pictures: training, evaluation, prediction and all else get the same pixels from the same file.

- Grey, palette, CMYK and other modes become RGB.
- Transparent pixels are blended with white.
- 16-bit values are divided by 257.
- The picture is turned by its EXIF orientation.
- Of an animation, the first frame is read.

For 8-bit files without transparency, the pixels are those of Detectron2's ``read_image``.
"""

import functools
import importlib
import importlib.util
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError, features
from PIL.ExifTags import Base

from errseg.config import MAX_PIXELS
from errseg.errors import UsageError

from .whole import check_whole

__all__ = [
    "HEIF_ENDINGS",
    "check_pixels",
    "load_whole",
    "open_image",
    "orientation_of",
    "pixels_of",
    "register_heif",
    "size_of",
    "turn",
]

HAS_HEIF = importlib.util.find_spec("pillow_heif") is not None
HAS_AVIF = HAS_HEIF or (features.check("avif") if "avif" in features.modules else False)
HEIF = (".heic", ".heif")
HEIF_ENDINGS = (*(HEIF if HAS_HEIF else ()), *((".avif",) if HAS_AVIF else ()))  # what can be read here

WIDE = ("I;16", "I;16L", "I;16B", "I;16N", "I")  # grey values of 16 bits; I stores them in 32
STRIP = 1 << 21  # pixels that are converted at a time; this bounds the memory beyond the picture and its result
TRANSPOSED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
IMAGE_WIDTH, IMAGE_HEIGHT = 256, 257  # tags of TIFF


def register_heif() -> None:
    """Let Pillow read HEIC and HEIF files, where the package pillow-heif is installed."""
    if HAS_HEIF:
        _register()


@functools.cache
def _register() -> None:
    importlib.import_module("pillow_heif").register_heif_opener()


@contextmanager
def open_image(
    path: str,
    kind: str,
    remedy: str,
    max_pixels: int = MAX_PIXELS,
    formats: Sequence[str] | None = None,
    content: bytes | None = None,
) -> Iterator[Image.Image]:
    """Open an image file of at most ``max_pixels``. Errors of Pillow, here and in the with-block, name the file.

    Args:
        path: a regular file; a pipe or a device is refused, since reading it might never end.
        kind: ``image`` or ``label``, for messages.
        remedy: the end of the sentence where the file is missing or damaged.
        max_pixels: the bound, INPUT.MAX_PIXELS.
        formats: the formats of Pillow that are accepted; None: all.
        content: the bytes of the file, where they have been read; ``path`` is then only its name in messages.

    Raises:
        UsageError: the file is missing, no image, damaged, or has too many pixels.
    """
    if content is None and not os.path.isfile(path):
        state = "is no regular file" if os.path.exists(path) else "does not exist"
        raise UsageError(f"The {kind} {path} {state}; {remedy}.")
    register_heif()
    try:
        with Image.open(path if content is None else io.BytesIO(content), formats=formats) as image:
            check_pixels(image, f"The {kind} {path}", max_pixels)
            yield image
    except Image.DecompressionBombError as error:
        limit = 2 * Image.MAX_IMAGE_PIXELS
        raise UsageError(f"The {kind} {path} has more than {limit} pixels, Pillow's limit; make it smaller.") from error
    except (UsageError, MemoryError):
        raise
    except Exception as error:  # Pillow's readers raise all kinds of errors on damaged bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):  # its own message has the path again, or an object of Python
            reason = "its format is unknown"
        if not HAS_HEIF and path.lower().endswith(HEIF):
            reason, remedy = "HEIC and HEIF need the package pillow-heif", "install it, or convert the file to JPEG"
        raise UsageError(f"The {kind} {path} cannot be read ({reason}); {remedy}.") from error


def check_pixels(image: Image.Image, what: str, max_pixels: int) -> None:
    """Check the size of an image before its pixels are decoded.

    Raises:
        UsageError: it is too large.
    """
    if image.width * image.height > max_pixels:
        raise UsageError(
            f"{what} has {image.width} × {image.height} pixels, more than INPUT.MAX_PIXELS, {max_pixels}; make it "
            "smaller, or raise INPUT.MAX_PIXELS."
        )


def load_whole(image: Image.Image) -> None:
    """Decode an image.

    Raises:
        OSError: the file ends early, or rows are missing. Pillow raises errors of other types, too.
    """
    file = getattr(image, "fp", None)
    image.load()
    if file is None:  # decoded before, or not from a file
        return
    if not file.closed:  # the caller's file, or that of an animation, which is read further from its position
        place = file.tell()
        check_whole(image, file)
        file.seek(place)
    elif image.filename:
        with open(image.filename, "rb") as again:
            check_whole(image, again)


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, by which an image must still be turned; damaged EXIF counts as 1."""
    try:
        value = image.getexif().get(Base.Orientation, 1)
        return value if value in range(1, 9) else 1
    except Exception:  # a picture is usable although its EXIF is damaged
        return 1


def size_of(image: Image.Image) -> tuple[int, int]:
    """(height, width) of a picture after it is turned, from its header."""
    stored = image.size
    if image.format == "TIFF":  # Pillow turns these itself; its version decides when
        stored = (image.tag_v2.get(IMAGE_WIDTH, stored[0]), image.tag_v2.get(IMAGE_HEIGHT, stored[1]))
    return stored if orientation_of(image) in TRANSPOSED else stored[::-1]


def turn(array: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored pixels (H, W, …) by an EXIF orientation."""
    if orientation in TRANSPOSED:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def pixels_of(image: Image.Image) -> np.ndarray:
    """The pixels of an opened image: (H, W, 3) uint8 RGB, upright.

    Raises:
        UsageError: there are no pixels, or their values have no known range.
        OSError: the file is truncated. Pillow raises errors of other types, too.
    """
    if 0 in image.size:
        raise UsageError(f"The image has {image.width} × {image.height} pixels; give one that has some.")
    load_whole(image)
    orientation = orientation_of(image)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(STRIP // image.width, 1)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        whole = rows >= image.height
        pixels[top:bottom] = _rgb(image if whole else image.crop((0, top, image.width, bottom)))
    return turn(pixels, orientation)


def _rgb(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8, or (H, W, 1) where the three channels are equal."""
    if image.mode in WIDE:
        return _grey(np.asarray(image), image.info.get("transparency"))
    if image.mode == "F":
        raise UsageError("The image has floating-point values, whose range is unknown; give one of 8 or 16 bits.")
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _grey(values: np.ndarray, transparent: object) -> np.ndarray:
    smallest, largest = values.min(initial=0), values.max(initial=0)
    if smallest < 0 or largest > 65535:
        raise UsageError(f"The image has values from {smallest} to {largest}; give one of 8 or 16 bits a channel.")
    grey = (values // 257).astype(np.uint8)
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return grey[:, :, None]
