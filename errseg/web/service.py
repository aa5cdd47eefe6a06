"""Answer the requests of all visitors with one model, one at a time and within limits."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from errseg.api import Result, Segmenter
from errseg.api.images import read_image
from errseg.errors import UsageError

from .tags import names_of, vocabulary_of

__all__ = ["DEFAULT_LIMITS", "Limits", "Service", "open_picture"]


class Limits(NamedTuple):
    """The limits of visitors' requests."""

    max_pixels: int = 25_000_000  # in a picture
    max_names: int = 1000
    max_bytes: int = 50_000_000  # of an uploaded file
    max_stored: int = 2_000_000_000  # bytes of all uploads that are kept at a time
    keep_seconds: int = 600  # until an uploaded file is deleted


DEFAULT_LIMITS = Limits()

# Pillow reads more formats, some of them by starting a program (PostScript). Older versions cannot read AVIF.
Image.init()
FORMATS = tuple({"JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM"} & set(Image.OPEN))
MAX_WORDS = 100_000  # words in the cache of the tokenizer


class Service:
    """Segments pictures for several visitors with one model. Each request has its own names."""

    def __init__(self, segmenter: Segmenter, limits: Limits = DEFAULT_LIMITS):
        """
        Args:
            segmenter: the model; its own vocabulary does not change.
            limits: requests that exceed them are refused.
        """
        self.limits = limits
        self._segmenter = segmenter
        self._last: Segmenter | None = None  # the same model, with the vocabulary of the last request
        self._lock = threading.Lock()  # the model answers one request at a time

    def segment(self, path: str | Path, tags: Sequence[str], title: str | None = None) -> Result:
        """Segment a picture. The result has proposals if the system makes them.

        Args:
            path: path of the picture's file.
            tags: names, as tidy tags.
            title: name of a vocabulary of this package, whose names are added.

        Raises:
            UsageError: the picture or the names cannot be used, or exceed the limits.
        """
        vocabulary = vocabulary_of(names_of(tags), title, self.limits.max_names)
        image = open_picture(path, self.limits.max_pixels)
        with self._lock:
            if self._last is None or vocabulary != self._last.vocabulary:
                segmenter = Segmenter(self._segmenter.model, self._segmenter.cfg)
                segmenter.set_vocabulary(vocabulary)
                self._last = segmenter
                prompter = getattr(segmenter.model, "prompter", None)  # a system may have another text encoder
                _forget_words(getattr(prompter, "tokenizer", None))
            return self._last(image, proposals=self._last.has_proposals)


def _forget_words(tokenizer: Any) -> None:
    """Bound the cache of open_clip's tokenizer, which keeps every word. Its special tokens, which come first, stay."""
    words = getattr(tokenizer, "cache", {})  # other tokenizers have no such cache
    if len(words) > MAX_WORDS:
        for word in list(words)[len(tokenizer.all_special_ids) :]:
            del words[word]


def open_picture(path: str | Path, max_pixels: int) -> np.ndarray:
    """Read an uploaded file: (H, W, 3) uint8 RGB. The size is checked before the pixels are decoded.

    Raises:
        UsageError: the file is gone, is no picture, or is too large. The message does not name the path of the file.
    """
    if not Path(path).is_file():
        raise UsageError("This picture has been deleted here meanwhile; choose it again.")
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise _too_large(image.width, image.height, max_pixels)
            return read_image(image)
    except Image.DecompressionBombError as error:
        raise UsageError(f"This picture has far more than {max_pixels} pixels; make it smaller.") from error
    except UnidentifiedImageError as error:  # its own message would name the file
        raise UsageError("This file is no picture that can be read; choose a whole JPEG, PNG or WebP file.") from error
    except (UsageError, MemoryError):
        raise
    except Exception as error:  # Pillow's readers raise many types of errors for damaged files
        raise UsageError("This picture is damaged; choose a whole JPEG, PNG or WebP file.") from error


def _too_large(width: int, height: int, max_pixels: int) -> UsageError:
    return UsageError(
        f"This picture has {width} x {height} pixels, and this page accepts {max_pixels / 1e6:.3g} million; "
        "make it smaller."
    )
