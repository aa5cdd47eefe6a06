"""Augmentations: each chooses, for an input, a deterministic transform (one of fvcore's, or a resize)."""

import inspect
import pprint
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from fvcore.transforms.transform import (
    CropTransform,
    HFlipTransform,
    NoOpTransform,
    PadTransform,
    Transform,
    TransformList,
    VFlipTransform,
)
from PIL import Image
from torch.nn import functional as F

from ..outside import outside

__all__ = [
    "CropTransform",
    "HFlipTransform",
    "NoOpTransform",
    "PadTransform",
    "ResizeTransform",
    "Transform",
    "TransformList",
    "VFlipTransform",
    "Augmentation",
    "AugmentationList",
    "AugInput",
    "RandomCrop",
    "RandomCrop_CategoryAreaConstraint",
    "RandomFlip",
    "ResizeShortestEdge",
]

__getattr__ = outside(globals())

_TORCH_MODES = {Image.NEAREST: "nearest", Image.BILINEAR: "bilinear", Image.BICUBIC: "bicubic"}


class ResizeTransform(Transform):
    """Resize h × w to ``new_h`` × ``new_w`` pixels: uint8 by PIL, antialiased; floats by torch, without antialiasing.

    ``interp`` is PIL's interpolation of images; label maps are always resized by the nearest neighbour.
    """

    def __init__(self, h: int, w: int, new_h: int, new_w: int, interp: int | None = None) -> None:
        super().__init__()
        interp = Image.BILINEAR if interp is None else interp
        self._set_attributes({"h": h, "w": w, "new_h": new_h, "new_w": new_w, "interp": interp})

    def apply_image(self, img: np.ndarray, interp: int | None = None) -> np.ndarray:
        """(h, w) or (h, w, C) to (new_h, new_w) or (new_h, new_w, C), of the same type."""
        if img.shape[:2] != (self.h, self.w):
            raise AssertionError(f"A resize of {self.h} x {self.w} images was given one of {img.shape[:2]}.")
        interp = self.interp if interp is None else interp
        if img.dtype == np.uint8:
            one_channel = img.ndim == 3 and img.shape[2] == 1
            image = Image.fromarray(img[:, :, 0] if one_channel else img)
            resized = np.asarray(image.resize((self.new_w, self.new_h), interp))
            return resized[:, :, None] if one_channel else resized
        channels = torch.from_numpy(np.ascontiguousarray(img)).reshape(1, self.h, self.w, -1).permute(0, 3, 1, 2)
        if interp not in _TORCH_MODES:
            raise ValueError(f"Floating-point images are resized by NEAREST, BILINEAR or BICUBIC, not by {interp!r}.")
        resized = F.interpolate(channels, (self.new_h, self.new_w), mode=_TORCH_MODES[interp])
        return resized.permute(0, 2, 3, 1).reshape(self.new_h, self.new_w, *img.shape[2:]).numpy()

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """(N, 2) points x, y."""
        return coords * (self.new_w / self.w, self.new_h / self.h)

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """(h, w) class ids to (new_h, new_w)."""
        return self.apply_image(segmentation, interp=Image.NEAREST)


class Augmentation:
    """Chooses a transform.

    A subclass defines ``get_transform``, which draws from ``np.random``.

    Attributes:
        input_args: the attributes of ``AugInput`` that ``get_transform`` gets. None: those that have the names of its
            parameters, such as ``image`` and ``sem_seg``; a single parameter gets the image.
    """

    input_args: tuple[str, ...] | None = None

    def _init(self, params: Mapping[str, Any] | None = None) -> None:
        """Set the constructor's arguments as attributes; ``params`` is its ``locals()``."""
        for name, value in (params or {}).items():
            if name != "self" and not name.startswith("_"):
                setattr(self, name, value)

    def _rand_range(
        self, low: float = 1.0, high: float | None = None, size: int | Sequence[int] | None = None
    ) -> float | np.ndarray:
        """A uniform random number, or an array of them, between ``low`` and ``high``, or 0 and ``low``."""
        low, high = (0, low) if high is None else (low, high)
        return np.random.uniform(low, high, [] if size is None else size)

    def __repr__(self) -> str:
        """The class and those of its constructor's arguments that are not the defaults, read from attributes."""
        shown = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or not hasattr(self, name):
                return super().__repr__()
            value = getattr(self, name)
            if value is not parameter.default:
                text = pprint.pformat(value)
                shown.append(f"{name}={'...' if chr(10) in text else text}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def get_transform(self, *args: np.ndarray) -> Transform:
        """The transform for this input."""
        raise NotImplementedError(f"{type(self).__name__} must define get_transform.")

    def __call__(self, aug_input: "AugInput") -> Transform:
        """Transform ``aug_input`` in place and return the transform, for use on further data."""
        names = self.input_args or tuple(inspect.signature(self.get_transform).parameters)
        if self.input_args is None and len(names) == 1:
            names = ("image",)
        for name in names:
            if getattr(aug_input, name, None) is None:
                raise AttributeError(f"{type(self).__name__} needs the input's '{name}', which it has not.")
        transform = self.get_transform(*(getattr(aug_input, name) for name in names))
        aug_input.transform(transform)
        return transform


class AugmentationList(Augmentation):
    """Augmentations, or transforms, one after the other."""

    def __init__(self, augs: Sequence[Augmentation | Transform]) -> None:
        self.augs = augs

    def __repr__(self) -> str:
        return f"AugmentationList[{', '.join(map(str, self.augs))}]"

    def __call__(self, aug_input: "AugInput") -> TransformList:
        chosen = []
        for aug in self.augs:
            if isinstance(aug, Transform):
                aug_input.transform(aug)
            chosen.append(aug if isinstance(aug, Transform) else aug(aug_input))
        return TransformList(chosen)


class AugInput:
    """An image and its labels: ``image`` (H, W) or (H, W, C), and ``sem_seg`` (H, W) class ids or None."""

    def __init__(self, image: np.ndarray, *, sem_seg: np.ndarray | None = None) -> None:
        self.image = image
        self.sem_seg = sem_seg

    def transform(self, tfm: Transform) -> None:
        """Apply a transform to every part, in place."""
        self.image = tfm.apply_image(self.image)
        if self.sem_seg is not None:
            self.sem_seg = tfm.apply_segmentation(self.sem_seg)


class ResizeShortestEdge(Augmentation):
    """Resize the shorter side to a random length; the longer side is at most ``max_size``. The aspect ratio is kept.

    Args:
        short_edge_length: pixels: [least, most] for ``range``, or the lengths for ``choice``. 0: no resize.
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
            raise AssertionError(f"INPUT.MIN_SIZE_TRAIN_SAMPLING '{sample_style}' is unknown: choose range or choice.")
        self.short_edge_length = (short_edge_length,) * 2 if isinstance(short_edge_length, int) else short_edge_length
        self.max_size = max_size
        self.sample_style = sample_style
        self.interp = interp

    def get_transform(self, image: np.ndarray) -> Transform:
        if self.sample_style == "range":
            least, most = self.short_edge_length
            size = np.random.randint(least, most + 1)
        else:
            size = np.random.choice(self.short_edge_length)
        if size == 0:
            return NoOpTransform()
        height, width = image.shape[:2]
        scale = size * 1.0 / min(height, width)
        new_height, new_width = (size, scale * width) if height < width else (scale * height, size)
        shrink = min(self.max_size * 1.0 / max(new_height, new_width), 1.0)
        new_height, new_width = int(new_height * shrink + 0.5), int(new_width * shrink + 0.5)
        return ResizeTransform(height, width, new_height, new_width, self.interp)


class RandomFlip(Augmentation):
    """Flip with probability ``prob``, either left to right or top to bottom."""

    def __init__(self, prob: float = 0.5, *, horizontal: bool = True, vertical: bool = False) -> None:
        if horizontal == vertical:
            raise ValueError("RandomFlip is either horizontal or vertical: use two of them for both.")
        self._init(locals())

    def get_transform(self, image: np.ndarray) -> Transform:
        height, width = image.shape[:2]
        if np.random.uniform() >= self.prob:
            return NoOpTransform()
        return HFlipTransform(width) if self.horizontal else VFlipTransform(height)


class RandomCrop(Augmentation):
    """Cut out a rectangle at a random position.

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
        self._init(locals())

    def get_transform(self, image: np.ndarray) -> Transform:
        height, width = image.shape[:2]
        crop_height, crop_width = self._size(height, width)
        y = np.random.randint(height - crop_height + 1)
        x = np.random.randint(width - crop_width + 1)
        return CropTransform(x, y, crop_width, crop_height)

    def _size(self, height: int, width: int) -> tuple[int, int]:
        first, second = self.crop_size
        if self.crop_type == "absolute":
            return min(first, height), min(second, width)
        if self.crop_type == "absolute_range":
            crop_height = np.random.randint(min(height, first), min(height, second) + 1)
            return crop_height, np.random.randint(min(width, first), min(width, second) + 1)
        shares = np.asarray(self.crop_size, dtype=np.float32)
        if self.crop_type == "relative_range":
            shares = shares + np.random.rand(2) * (1 - shares)
        return int(height * shares[0] + 0.5), int(width * shares[1] + 0.5)


class RandomCrop_CategoryAreaConstraint(Augmentation):
    """A ``RandomCrop`` that is drawn again, at most ten times, until no class covers too much of it.

    Args:
        crop_type: see ``RandomCrop``.
        crop_size: see ``RandomCrop``.
        single_category_max_area: share of the crop's labelled area that one class may cover. 1: no limit.
        ignored_category: a label that is not counted as labelled area.
    """

    def __init__(
        self,
        crop_type: str,
        crop_size: Sequence[float],
        single_category_max_area: float = 1.0,
        ignored_category: int | None = None,
    ) -> None:
        self.crop_aug = RandomCrop(crop_type, crop_size)
        self._init(locals())

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
