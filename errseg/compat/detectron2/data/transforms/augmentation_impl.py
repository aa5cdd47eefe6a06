"""Random resizing, flipping and cropping."""

import sys
from collections.abc import Sequence

import numpy as np
from fvcore.transforms.transform import CropTransform, HFlipTransform, NoOpTransform, Transform, VFlipTransform
from PIL import Image

from .augmentation import Augmentation
from .transform import ResizeTransform

__all__ = ["RandomCrop", "RandomCrop_CategoryAreaConstraint", "RandomFlip", "ResizeShortestEdge"]


class ResizeShortestEdge(Augmentation):
    """Resize so that the shorter side has a drawn length, but the longer one at most ``max_size``; aspect is kept.

    Args:
        short_edge_length: pixels: [least, most] to draw from, or those to choose from; 0: the image keeps its size.
        max_size: of the longer side.
        sample_style: ``range`` or ``choice``.
        interp: PIL's interpolation.
    """

    def __init__(
        self,
        short_edge_length: int | Sequence[int],
        max_size: int = sys.maxsize,
        sample_style: str = "range",
        interp: int = Image.BILINEAR,
    ) -> None:
        if sample_style not in ("range", "choice"):
            raise AssertionError(f"sample_style '{sample_style}' is unknown: choose range or choice.")
        lengths = (short_edge_length,) * 2 if isinstance(short_edge_length, int) else short_edge_length
        if sample_style == "range" and len(lengths) != 2:
            raise AssertionError(f"A range of short edges has two ends, got {lengths}.")
        self.short_edge_length = lengths
        self.max_size = max_size
        self.sample_style = sample_style
        self.interp = interp

    def get_transform(self, image: np.ndarray) -> Transform:
        if self.sample_style == "range":
            size = np.random.randint(self.short_edge_length[0], self.short_edge_length[1] + 1)
        else:
            size = np.random.choice(self.short_edge_length)
        if size == 0:
            return NoOpTransform()
        height, width = image.shape[:2]
        new_height, new_width = self.get_output_shape(height, width, size, self.max_size)
        return ResizeTransform(height, width, new_height, new_width, self.interp)

    @staticmethod
    def get_output_shape(oldh: int, oldw: int, short_edge_length: int, max_size: int) -> tuple[int, int]:
        """(height, width) of the output."""
        scale = short_edge_length * 1.0 / min(oldh, oldw)
        height, width = (short_edge_length, scale * oldw) if oldh < oldw else (scale * oldh, short_edge_length)
        if max(height, width) > max_size:
            shrink = max_size * 1.0 / max(height, width)
            height, width = height * shrink, width * shrink
        return int(height + 0.5), int(width + 0.5)


class RandomFlip(Augmentation):
    """Flip with a probability.

    Args:
        prob: of the flip.
        horizontal: left to right; or
        vertical: top to bottom. Exactly one of the two.
    """

    def __init__(self, prob: float = 0.5, *, horizontal: bool = True, vertical: bool = False) -> None:
        if horizontal == vertical:
            raise ValueError("RandomFlip is either horizontal or vertical: use two of them for both.")
        self.prob = prob
        self.horizontal = horizontal
        self.vertical = vertical

    def get_transform(self, image: np.ndarray) -> Transform:
        height, width = image.shape[:2]
        if np.random.uniform() >= self.prob:
            return NoOpTransform()
        return HFlipTransform(width) if self.horizontal else VFlipTransform(height)


class RandomCrop(Augmentation):
    """Cut out a rectangle at a random place.

    Args:
        crop_type: ``relative`` (crop_size is a share of height and width), ``relative_range`` (shares drawn between
            crop_size and 1), ``absolute`` (pixels, at most the image's) or ``absolute_range`` (each side drawn between
            the two numbers of crop_size).
        crop_size: two numbers, height first.
    """

    def __init__(self, crop_type: str, crop_size: Sequence[float]) -> None:
        if crop_type not in ("relative_range", "relative", "absolute", "absolute_range"):
            raise AssertionError(
                f"crop_type '{crop_type}' is unknown: choose relative_range, relative, absolute or absolute_range."
            )
        self.crop_type = crop_type
        self.crop_size = crop_size

    def get_transform(self, image: np.ndarray) -> Transform:
        height, width = image.shape[:2]
        crop_height, crop_width = self.get_crop_size((height, width))
        if height < crop_height or width < crop_width:
            raise AssertionError(f"A crop of {crop_height} x {crop_width} does not fit into {height} x {width}.")
        y = np.random.randint(height - crop_height + 1)
        x = np.random.randint(width - crop_width + 1)
        return CropTransform(x, y, crop_width, crop_height)

    def get_crop_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the crop of an image of ``image_size``."""
        height, width = image_size
        first, second = self.crop_size
        if self.crop_type == "absolute":
            return min(first, height), min(second, width)
        if self.crop_type == "absolute_range":
            if first > second:
                raise AssertionError(f"A range of crops goes from the smaller to the larger, got {self.crop_size}.")
            crop_height = np.random.randint(min(height, first), min(height, second) + 1)
            return crop_height, np.random.randint(min(width, first), min(width, second) + 1)
        shares = np.asarray(self.crop_size, dtype=np.float32)
        if self.crop_type == "relative_range":
            shares = shares + np.random.rand(2) * (1 - shares)
        return int(height * shares[0] + 0.5), int(width * shares[1] + 0.5)


class RandomCrop_CategoryAreaConstraint(Augmentation):
    """A ``RandomCrop`` that is drawn again, ten times at most, until no class covers too much of it.

    Args:
        crop_type: as of ``RandomCrop``.
        crop_size: as of ``RandomCrop``.
        single_category_max_area: share of the crop's labelled area that one class may cover; 1: anything.
        ignored_category: a label that does not count as area.
    """

    def __init__(
        self,
        crop_type: str,
        crop_size: Sequence[float],
        single_category_max_area: float = 1.0,
        ignored_category: int | None = None,
    ) -> None:
        self.crop_type = crop_type
        self.crop_size = crop_size
        self.single_category_max_area = single_category_max_area
        self.ignored_category = ignored_category
        self.crop_aug = RandomCrop(crop_type, crop_size)

    def get_transform(self, image: np.ndarray, sem_seg: np.ndarray) -> Transform:
        if self.single_category_max_area >= 1.0:
            return self.crop_aug.get_transform(image)
        for _ in range(10):
            crop = self.crop_aug.get_transform(image)
            labels, areas = np.unique(crop.apply_segmentation(sem_seg), return_counts=True)
            if self.ignored_category is not None:
                areas = areas[labels != self.ignored_category]
            if len(areas) > 1 and areas.max() < areas.sum() * self.single_category_max_area:
                break
        return crop
