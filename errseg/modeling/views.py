"""The views of a test image that the encoder sees: one square, the image at its own size, or those of other papers.

A view is a rectangle of the image, resized. The predictions of several views are averaged (``prediction.py``).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from ..errors import ArgumentError, UsageError, arguments_from

LARGEST_ASPECT = math.sqrt(8)  # a longer image is squeezed to an aspect ratio of 8 : 1; the area stays
MULTIPLE = 32  # the encoder's coarsest stride: views that are resized, but for the paper's square, fit it


class View(NamedTuple):
    """A rectangle of an image, the size to which it is resized, and whether it is mirrored."""

    rows: tuple[int, int]  # first and last + 1, in pixels of the image
    cols: tuple[int, int]
    size: tuple[int, int]  # height and width that the encoder sees
    flipped: bool = False
    canvas: tuple[int, int] | None = None  # rows and cols are those of the image resized to it; None: of the image
    layer: int = 0  # the views of a layer are averaged first, then the layers

    @property
    def is_cut(self) -> bool:
        """Whether the view is cut from the canvas; one that shows all of it is resized straight from the image."""
        return self.canvas is not None and (self.rows, self.cols) != ((0, self.canvas[0]), (0, self.canvas[1]))


@dataclass(frozen=True)
class Views:
    """The views of an image of any size.

    Args:
        resolution: R, in pixels.
        scales: each scale gives a set of views; scale 1 gives the view of R x R.
        flip: add a mirrored view for every view.
        keep_aspect: replace the square by a rectangle of the same area and the image's aspect ratio.
        sliding_window: replace the resized image by windows of R x R pixels over the image at its own size.
        window_overlap: least share of a window that overlaps its neighbour, from 0 to below 1.
        window_canvas: the image is resized to a square of this side, and the windows are cut from it; their predictions
            are merged in this square, before they are resized to the picture. 0: the image at its own size.
        window_whole: average the mean of the windows with one more view, which shows the whole image as R x R pixels.
        native: replace the square by the image at its own size, times each scale. Sides need not fit the encoder's
            strides: the system pads its input itself. R is the size of windows only.

    Raises:
        ArgumentError: a value gives no view.
    """

    resolution: int
    scales: Sequence[float] = (1.0,)
    flip: bool = False
    keep_aspect: bool = False
    sliding_window: bool = False
    window_overlap: float = 1 / 3
    native: bool = False
    window_canvas: int = 0
    window_whole: bool = False

    def __post_init__(self):
        if self.resolution < 64:
            raise ArgumentError("{resolution} = %s is too small for four strides; give 64 or more.", self.resolution)
        if not self.scales or not all(isinstance(x, (int, float)) and x > 0 for x in self.scales):
            raise ArgumentError(
                "{scales} = %s gives no view; give positive factors such as (1.0,).", tuple(self.scales)
            )
        if not 0 <= self.window_overlap < 1:
            raise ArgumentError("{window_overlap} = %s; give a share from 0 to below 1.", self.window_overlap)
        if self.window_canvas and self.window_canvas < self.resolution:
            raise ArgumentError(
                "{window_canvas} = %s is smaller than the windows, {resolution} = %s; give as much or more, or 0.",
                self.window_canvas,
                self.resolution,
            )
        if self.keep_aspect and self.sliding_window:
            raise ArgumentError("{keep_aspect} and {sliding_window} are both True; set the first False.")
        if self.keep_aspect and self.native:
            raise ArgumentError(
                "{keep_aspect} = True, but this system sees images at their own size and aspect ratio in any case; "
                "set it False."
            )

    @classmethod
    def from_config(cls, cfg, native: bool = False) -> "Views":
        """The views that INPUT.RESOLUTION_TEST and TEST ask for; the system says whether they are ``native``."""
        test = cfg.TEST
        with arguments_from("TEST", resolution="INPUT.RESOLUTION_TEST"):
            return cls(
                cfg.INPUT.RESOLUTION_TEST,
                test.SCALES,
                test.FLIP,
                test.KEEP_ASPECT,
                test.SLIDING_WINDOW,
                test.WINDOW_OVERLAP,
                native,
                test.WINDOW_CANVAS,
                test.WINDOW_WHOLE,
            )

    def whole(self) -> "Views":
        """The same with one view, which shows the whole image at scale 1 and is not mirrored.

        Where there are windows and the whole image, it is the latter.
        """
        native = self.native and not (self.sliding_window and self.window_whole)
        return replace(self, scales=(1.0,), flip=False, sliding_window=False, native=native)

    def of(self, height: int, width: int) -> list[View]:
        """The views of an image of ``height`` x ``width`` pixels."""
        views: list[View] = []
        for scale in self.scales:
            views += self._sliding(height, width, scale) if self.sliding_window else [self._whole(height, width, scale)]
        return views + [view._replace(flipped=True) for view in views] if self.flip else views

    def _sliding(self, height: int, width: int, scale: float) -> list[View]:
        canvas = (self.window_canvas, self.window_canvas) if self.window_canvas else None
        height, width = canvas or (height, width)
        views = list(self._windows(height, width, scale))
        if self.window_whole:
            views.append(View((0, height), (0, width), self._square(scale), layer=1))
        return [view._replace(canvas=canvas) for view in views]

    def _square(self, scale: float) -> tuple[int, int]:
        side = self.resolution if scale == 1 else _rounded(self.resolution * scale)
        return side, side

    def _whole(self, height: int, width: int, scale: float) -> View:
        size = self._square(scale)
        if self.native:
            size = (self._side(height * scale), self._side(width * scale))
        elif self.keep_aspect:
            aspect = min(max(math.sqrt(height / width), 1 / LARGEST_ASPECT), LARGEST_ASPECT)
            size = (_rounded(self.resolution * scale * aspect), _rounded(self.resolution * scale / aspect))
        return View((0, height), (0, width), size)

    def _windows(self, height: int, width: int, scale: float) -> Iterator[View]:
        sides = [self._along(length, scale) for length in (height, width)]
        (spans_y, size_y), (spans_x, size_x) = sides
        return (View(rows, cols, (size_y, size_x)) for rows in spans_y for cols in spans_x)

    def _along(self, length: int, scale: float) -> tuple[list[tuple[int, int]], int]:
        """The windows along a side of the image, evenly spaced, and the size to which each is resized."""
        window = round(self.resolution / scale)
        if length <= window:
            return [(0, length)], self._side(length * scale)
        count = math.ceil((length - window) / (window * (1 - self.window_overlap))) + 1
        starts = [round(i * (length - window) / (count - 1)) for i in range(count)]
        return [(start, start + window) for start in starts], self.resolution

    def _side(self, length: float) -> int:
        """The side of a view that keeps the image's shape."""
        return max(round(length), 1) if self.native else _rounded(length)


def _rounded(side: float) -> int:
    """Round to a multiple of the coarsest stride, at least 64: the smallest side for the encoder's four strides."""
    return max(MULTIPLE * round(side / MULTIPLE), 64)


def check_images(batched_inputs: list[dict]) -> None:
    """Check that every "image" is a tensor (3, H, W) of at least one pixel.

    Raises:
        UsageError: it is something else; the message gives the shape.
    """
    if torch.jit.is_tracing():  # sizes are then tensors
        return
    for inputs in batched_inputs:
        image = inputs["image"]
        if image.ndim != 3 or image.shape[0] != 3 or not image.numel():
            name = inputs.get("file_name", "An image")
            raise UsageError(f"{name} is a tensor of shape {tuple(image.shape)}; give (3, H, W), RGB from 0 to 255.")
