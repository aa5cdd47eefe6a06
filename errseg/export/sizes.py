"""The sizes of the images that an exported file takes: one square, one rectangle, or any multiples of 32.

Shapes: H x W the images that the file takes.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from errseg.errors import UsageError, short
from errseg.modeling.views import MULTIPLE, View, Views

__all__ = ["DYNAMIC", "InputSize", "Rectangle", "input_size", "views_of"]

DYNAMIC = "dynamic"
LEAST, MOST = 64, 1 << 14  # pixels of a side


class InputSize(NamedTuple):
    """The images that a file takes."""

    height: int
    width: int
    is_dynamic: bool = False  # any multiples of 32, from 64 on; height x width is then the size of the example

    @property
    def is_square(self) -> bool:
        """Whether the file takes squares of one size."""
        return self.height == self.width and not self.is_dynamic

    def of(self, height: int, width: int) -> tuple[int, int]:
        """The size to which a picture of ``height`` x ``width`` is resized.

        For a file of any size, it has the area of the example and nearly the aspect ratio of the picture, as with
        ``TEST.KEEP_ASPECT``.
        """
        if not self.is_dynamic:
            return self.height, self.width
        (view,) = Views(self.height, keep_aspect=True).of(height, width)
        return view.size

    def __str__(self) -> str:
        size = f"{self.height} x {self.width}"
        return f"any multiples of {MULTIPLE} (example: {size})" if self.is_dynamic else size


@dataclass(frozen=True)
class Rectangle(Views):
    """One view of the whole image, resized to a rectangle of fixed sides."""

    size: tuple[int, int] = (64, 64)

    def of(self, height: int, width: int) -> list[View]:
        """See ``Views.of``."""
        return [View((0, height), (0, width), self.size)]


def input_size(size: str | tuple[int, int] | None, resolution: int) -> InputSize:
    """The size that a word or two numbers name.

    Args:
        size: "dynamic", "H,W" or (H, W); None for the square of the configuration.
        resolution: R of the configuration, INPUT.RESOLUTION_TEST.

    Raises:
        UsageError: it is something else, or a side is no multiple of 32 within 64 and 16384.
    """
    if size is None:
        return InputSize(resolution, resolution)
    if size == DYNAMIC:
        if resolution % MULTIPLE:
            raise UsageError(
                f"--size dynamic takes multiples of {MULTIPLE}, and --resolution {resolution} is none; give a multiple."
            )
        return InputSize(resolution, resolution, is_dynamic=True)
    found = re.fullmatch(r"\s*(\d{1,6})\s*,\s*(\d{1,6})\s*", size) if isinstance(size, str) else None
    sides = tuple(map(int, found.groups())) if found else size
    is_pair = isinstance(sides, tuple) and len(sides) == 2 and all(type(side) is int for side in sides)
    if not is_pair or any(side % MULTIPLE or not LEAST <= side <= MOST for side in sides):
        raise UsageError(
            f"--size is {short(size)!r}; give height and width as H,W, multiples of {MULTIPLE} from {LEAST} to {MOST}, "
            f"or {DYNAMIC}."
        )
    return InputSize(*sides)


def views_of(views: Views, size: InputSize) -> Views:
    """The views with which the model sees what a file of this size sees."""
    if size == input_size(None, views.resolution):
        return views
    if size.is_dynamic:
        return Views(size.height, keep_aspect=True)
    return Rectangle(views.resolution, size=(size.height, size.width))
