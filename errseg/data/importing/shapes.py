"""The forms in which a region's mask is given. Each makes a mask (H, W) of bool; its fields are plain data."""

import base64
import binascii
import io
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from errseg.errors import UsageError

from ..brush import decode_brush
from ..files import read_label
from ..prepare.rle import decode_rle

__all__ = ["Bitmap", "Brush", "Circle", "Dropped", "MaskFile", "Polygons", "Rle", "Runs", "Shape", "ring_of"]

HALF = 128  # least value of a mask's pixel that belongs to the class
FAR = 4  # a polygon may leave the picture by this many times its longer side
CORNERS = 64  # of the polygon that stands for a circle

Size = tuple[int, int]  # height, width


class Dropped(Exception):
    """A region has no mask; the message says why, as "it has …"."""


class Polygons(NamedTuple):
    """The union of polygons; a pixel belongs to one as COCO's tools decide it. Pixel (0, 0) reaches from 0 to 1."""

    rings: tuple[Sequence[float], ...]  # x, y, x, y, …

    def draw(self, size: Size) -> np.ndarray:
        rings = [list(ring) for ring in self.rings if len(ring) >= 6]  # two points have no area
        if not rings:
            raise Dropped("it has fewer than three points")
        limit = FAR * max(size)
        if any(abs(value) > limit for ring in rings for value in ring):
            raise Dropped("it has points far outside the picture")
        return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(rings, *size))).astype(bool)


class Circle(NamedTuple):
    """A disc."""

    x: float
    y: float
    radius: float

    def draw(self, size: Size) -> np.ndarray:
        angles = [2 * math.pi * i / CORNERS for i in range(CORNERS)]
        ring = [(self.x + self.radius * math.cos(a), self.y + self.radius * math.sin(a)) for a in angles]
        return Polygons((tuple(value for point in ring for value in point),)).draw(size)


class Rle(NamedTuple):
    """COCO's run-length code, compressed or not."""

    counts: str | Sequence[int]
    size: tuple[int, ...]

    def draw(self, size: Size) -> np.ndarray:
        counts = self.counts if isinstance(self.counts, str) else list(self.counts)
        return _or_dropped(lambda: decode_rle({"counts": counts, "size": list(self.size)}, size))


class Runs(NamedTuple):
    """CVAT's mask: lengths of runs in the rows of a rectangle, the first one outside of the region."""

    counts: tuple[int, ...]
    left: int
    top: int
    width: int
    height: int

    def draw(self, size: Size) -> np.ndarray:
        if self.left + self.width > size[1] or self.top + self.height > size[0]:
            raise Dropped("its mask leaves the picture")
        area = self.width * self.height
        if any(not 0 <= count <= area for count in self.counts) or sum(self.counts) != area:
            raise Dropped("its runs do not fill its rectangle")
        inside = np.repeat(np.arange(len(self.counts)) % 2 == 1, self.counts).reshape(self.height, self.width)
        return _placed(inside, self.left, self.top, size)


class Brush(NamedTuple):
    """Label Studio's run-length code."""

    code: tuple[int, ...]

    def draw(self, size: Size) -> np.ndarray:
        return _or_dropped(lambda: decode_brush(self.code, size))


class Bitmap(NamedTuple):
    """LabelMe's mask: a PNG in base64, and the place of its top left pixel."""

    png: str
    left: int
    top: int

    def draw(self, size: Size) -> np.ndarray:
        try:
            content = io.BytesIO(base64.b64decode(self.png, validate=True))
            with Image.open(content, formats=["PNG"]) as picture:
                if picture.width > size[1] or picture.height > size[0]:
                    raise Dropped("its mask is larger than the picture")
                inside = np.asarray(picture.convert("L")) > 0
        except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise Dropped("its mask is no PNG in base64") from error
        return _placed(inside, self.left, self.top, size)


class MaskFile(NamedTuple):
    """A picture of one channel, as Label Studio exports it: 128 and more belong to the region."""

    path: str

    def draw(self, size: Size) -> np.ndarray:
        try:
            values = read_label(self.path)
        except UsageError as error:
            raise Dropped(f"its mask cannot be used: {error}") from error
        if values.shape != size:
            raise Dropped(f"its mask {self.path} has {values.shape[1]} × {values.shape[0]} pixels")
        return values >= HALF


Shape = Polygons | Circle | Rle | Runs | Brush | Bitmap | MaskFile


def ring_of(points: Any, scale: Sequence[float] = (1.0, 1.0)) -> tuple[float, ...] | None:
    """A list of points ``[[x, y], …]`` as a ring x, y, x, y, …; None where it is no such list.

    Args:
        points: as JSON gives them.
        scale: what x and y are multiplied by.
    """
    if not isinstance(points, list):
        return None
    ring: list[float] = []
    for point in points:
        if not isinstance(point, (list, tuple)) or len(point) != 2 or not all(map(is_number, point)):
            return None
        ring += (float(value) * factor for value, factor in zip(point, scale, strict=True))
    return tuple(ring)


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a number that a picture's coordinate can be."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 1e9  # False for not a number, too


def _placed(inside: np.ndarray, left: int, top: int, size: Size) -> np.ndarray:
    height, width = inside.shape
    if left < 0 or top < 0 or left + width > size[1] or top + height > size[0]:
        raise Dropped("its mask leaves the picture")
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = inside
    return mask


def _or_dropped(decode: Any) -> np.ndarray:
    try:
        return decode()
    except (ValueError, TypeError, OverflowError, IndexError) as error:
        raise Dropped(f"it has {error}" if isinstance(error, ValueError) else "its code is damaged") from error
