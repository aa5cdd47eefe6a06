"""The confusions of single images, kept sparse: what a bootstrap over images draws from.

Shapes: n images, N classes. A code is ``N * predicted + true``; an image has a few dozen codes with pixels, so that a
set of thousands of images takes some megabytes whatever N is.
"""

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from errseg.errors import UsageError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["ImageConfusions", "ImageCounts", "cells_of", "unpack"]

LARGEST = 1 << 25  # numbers in the packed confusions of a data set
Cells = tuple[bytes, np.ndarray, np.ndarray]  # of an image: its digest, codes and pixels


class ImageCounts(NamedTuple):
    """Pixels of each class in each image that are not ignored. Each is a sparse matrix (n, N) of float64."""

    hits: "csr_matrix"  # true and predicted
    true: "csr_matrix"
    predicted: "csr_matrix"


class ImageConfusions:
    """The confusions of the images of a data set.

    Their order is that of the images' digests. It depends neither on the order of the evaluation nor on the number of
    processes, so that two evaluations of the same data have the same order.
    """

    def __init__(self, num_classes: int):
        """
        Args:
            num_classes: N.
        """
        self.num_classes = num_classes
        self.images: list[Cells] = []

    def add(self, digest: bytes, confusion: np.ndarray) -> None:
        """Add an image.

        Args:
            digest: of the image's name and labels (``DataChecksum.add``).
            confusion: (N + 1, N + 1) pixels; a row is a predicted class, the last row and column are ignored pixels.
        """
        predicted, true = confusion[:-1, :-1].nonzero()
        codes = self.num_classes * predicted.astype(np.int64) + true
        self.images.append((digest, codes.astype(np.uint32), confusion[predicted, true].astype(np.uint32)))

    def pack(self, in_order: bool = False) -> dict[str, Any]:
        """The confusions as data for JSON, which ``unpack`` reads.

        Args:
            in_order: keep the order of the evaluation, not that of the digests.

        Returns:
            ``images`` (n); ``cells``, the number of all codes with pixels; and ``data``: base64 of the zlib stream of
            n + 2 * cells unsigned integers of 32 bits. These are the number of cells of each image, the differences of
            the codes within an image, and the pixels. The lowest bytes of all integers come first, the highest last.
        """
        images = self.images if in_order else sorted(self.images, key=lambda image: image[0])
        sizes = np.array([len(codes) for _, codes, _ in images], np.uint32)
        steps = [np.diff(codes, prepend=np.uint32(0)) for _, codes, _ in images]
        numbers = np.concatenate([sizes, *steps, *(pixels for *_, pixels in images)]).astype("<u4")
        planes = numbers.view(np.uint8).reshape(-1, 4).T
        data = base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode()
        return {"images": len(images), "cells": int(sizes.sum()), "data": data}


def unpack(packed: Any, num_classes: int) -> ImageCounts:
    """The counts of each image, in the order of the images' digests.

    Args:
        packed: what ``ImageConfusions.pack`` returned, from a file of any source.
        num_classes: N.

    Raises:
        UsageError: it is something else.
    """
    from scipy.sparse import csr_matrix  # here: it is slow to import

    rows, codes, pixels = cells_of(packed, num_classes)
    predicted, true = np.divmod(codes, num_classes)
    shape = (packed["images"], num_classes)
    return ImageCounts(
        *(
            csr_matrix((weights.astype(float), (rows, columns)), shape)
            for weights, columns in ((pixels * (predicted == true), true), (pixels, true), (pixels, predicted))
        )
    )


def cells_of(packed: Any, num_classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cells of all images, image after image: the image's number, the code and the pixels, each (cells,) int64.

    Args:
        packed, num_classes: see ``unpack``.

    Raises:
        UsageError: as ``unpack``.
    """
    if not isinstance(packed, Mapping):
        raise UsageError("the confusions of its images are no mapping")
    images, cells, data = (packed.get(key) for key in ("images", "cells", "data"))
    if not all(type(x) is int and x >= 0 for x in (images, cells)) or not isinstance(data, str):
        raise UsageError("the confusions of its images lack images, cells or data")
    total = images + 2 * cells
    if total > LARGEST or num_classes > 65535:
        raise UsageError(f"the confusions of its images have more than {LARGEST} numbers")
    try:
        stream = zlib.decompressobj()
        planes = stream.decompress(base64.b64decode(data, validate=True), 4 * total + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise UsageError("the confusions of its images are damaged") from error
    if len(planes) != 4 * total:
        raise UsageError("the confusions of its images have another length than they say")
    numbers = np.frombuffer(planes, np.uint8).reshape(4, -1).T.copy().view("<u4").ravel().astype(np.int64)
    sizes, steps, pixels = np.split(numbers, [images, images + cells])
    if sizes.sum() != cells:
        raise UsageError("the confusions of its images do not have the cells that they say")
    starts = np.cumsum(sizes) - sizes
    total_steps = np.concatenate([[0], np.cumsum(steps)])
    rows = np.repeat(np.arange(images), sizes)
    codes = total_steps[1:] - total_steps[starts[rows]]
    if cells and codes.max() >= num_classes**2:
        raise UsageError("the confusions of its images are of more classes than it has")
    return rows, codes, pixels
