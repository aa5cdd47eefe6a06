"""The training augmentations of the recipes: resizing, category-aware crop, colour, flip, padding; crops of regions."""

import math

import cv2
import numpy as np
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from fvcore.transforms.transform import CropTransform, PadTransform

from errseg.errors import UsageError

__all__ = [
    "ColorJitterSSD",
    "CropToMask",
    "PadToMultiple",
    "RandomResizedCrop",
    "ResizeToSquare",
    "build_augmentations",
    "build_flips",
]

IMAGE_PADDING = 128


class ColorJitterTransform(T.Transform):
    """Change brightness, contrast, saturation and hue of an RGB uint8 image by given amounts; labels stay unchanged.

    Every step rounds to uint8, as in SSD.
    """

    def __init__(self, brightness: float, contrast: float, saturation: float, hue: int, contrast_first: bool):
        """
        Args:
            brightness: added to the pixels.
            contrast: factor of the pixels.
            saturation: factor of the saturation.
            hue: added to the hue, in units of two degrees (OpenCV's 0–179).
            contrast_first: True: change contrast before saturation and hue; False: after them.
        """
        super().__init__()
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue
        self.contrast_first = contrast_first

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB to the same."""
        img = _scale_and_shift(img, 1.0, self.brightness)
        if self.contrast_first:
            return self._apply_hsv(_scale_and_shift(img, self.contrast, 0.0))
        return _scale_and_shift(self._apply_hsv(img), self.contrast, 0.0)

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        return coords

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        return segmentation

    def _apply_hsv(self, img: np.ndarray) -> np.ndarray:
        if self.saturation == 1.0 and self.hue == 0:
            return img
        hue, saturation, value = cv2.split(cv2.cvtColor(img, cv2.COLOR_RGB2HSV))
        hue = ((hue.astype(np.int16) + self.hue) % 180).astype(np.uint8)
        saturation = _scale_and_shift(saturation, self.saturation, 0.0)
        return cv2.cvtColor(cv2.merge((hue, saturation, value)), cv2.COLOR_HSV2RGB)


class ColorJitterSSD(T.Augmentation):
    """SSD's colour augmentation: four changes, each applied with probability one half.

    Brightness ±32, contrast and saturation × 0.5–1.5, hue ±18 (of 180). Contrast is changed before or after saturation
    and hue, with equal probability.
    """

    def get_transform(self, image: np.ndarray) -> ColorJitterTransform:
        # Draw every number, even for a change that is not applied: the random numbers of the augmentations that follow
        # then do not depend on these choices.
        coins = np.random.rand(5) < 0.5
        brightness = np.random.uniform(-32, 32)
        contrast, saturation = np.random.uniform(0.5, 1.5, size=2)
        hue = np.random.randint(-18, 19)
        return ColorJitterTransform(
            brightness=brightness if coins[0] else 0.0,
            contrast=contrast if coins[1] else 1.0,
            saturation=saturation if coins[2] else 1.0,
            hue=int(hue) if coins[3] else 0,
            contrast_first=bool(coins[4]),
        )


class PadToMultiple(T.Augmentation):
    """Pad image and label at the right and the bottom, to the next multiple of a size."""

    def __init__(self, divisor: int, image_value: int, label_value: int):
        super().__init__()
        self.divisor = divisor
        self.image_value = image_value
        self.label_value = label_value

    def get_transform(self, image: np.ndarray) -> T.Transform:
        height, width = image.shape[:2]
        bottom, right = -height % self.divisor, -width % self.divisor
        return PadTransform(0, 0, right, bottom, width, height, self.image_value, self.label_value)


class CropToMask(T.Augmentation):
    """Cut an image and a mask to the mask's bounding box."""

    def get_transform(self, image: np.ndarray, sem_seg: np.ndarray) -> T.Transform:
        """``sem_seg`` (H, W) is the mask; it has a pixel that is not 0."""
        rows, cols = np.flatnonzero(sem_seg.any(axis=1)), np.flatnonzero(sem_seg.any(axis=0))
        height, width = image.shape[:2]
        return CropTransform(cols[0], rows[0], cols[-1] + 1 - cols[0], rows[-1] + 1 - rows[0], width, height)


class RandomResizedCrop(T.Augmentation):
    """Cut a random rectangle, and resize it to a square, as GoogLeNet's training does.

    The share of the area and the logarithm of the aspect ratio (width over height) are drawn uniformly. After ten
    rectangles that do not fit, the middle of the image is taken, as large as the ratio allows.
    """

    def __init__(
        self, size: int, scale: tuple[float, float] = (0.08, 1.0), ratio: tuple[float, float] = (3 / 4, 4 / 3)
    ):
        """
        Args:
            size: side of the square in pixels.
            scale: least and largest share of the area.
            ratio: least and largest aspect ratio.
        """
        super().__init__()
        self.size = size
        self.scale = scale
        self.ratio = ratio

    def get_transform(self, image: np.ndarray) -> T.Transform:
        x, y, width, height = self.rectangle(*image.shape[:2])
        crop = CropTransform(x, y, width, height, image.shape[1], image.shape[0])
        return T.TransformList([crop, T.ResizeTransform(height, width, self.size, self.size)])

    def rectangle(self, height: int, width: int) -> tuple[int, int, int, int]:
        """The left, top, width and height of a random rectangle in an image of ``height`` x ``width`` pixels."""
        least, most = self.ratio
        for _ in range(10):
            area = height * width * np.random.uniform(*self.scale)
            ratio = math.exp(np.random.uniform(math.log(least), math.log(most)))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                return np.random.randint(width - w + 1), np.random.randint(height - h + 1), w, h
        w = min(width, max(round(height * most), 1))
        h = min(height, max(round(width / least), 1))
        return (width - w) // 2, (height - h) // 2, w, h


class ResizeToSquare(T.Augmentation):
    """Resize to a square, without keeping the aspect ratio."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def get_transform(self, image: np.ndarray) -> T.Transform:
        return T.ResizeTransform(*image.shape[:2], self.size, self.size)


def build_augmentations(cfg: CfgNode, is_train: bool) -> list[T.Augmentation]:
    """The augmentations of training (shortest side, crop, colour, flip, padding), or the resizing at test."""
    inputs, ignore_label = cfg.INPUT, cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
    if not is_train:
        return [T.ResizeShortestEdge(inputs.MIN_SIZE_TEST, inputs.MAX_SIZE_TEST, "choice")]
    augmentations = [T.ResizeShortestEdge(inputs.MIN_SIZE_TRAIN, inputs.MAX_SIZE_TRAIN, inputs.MIN_SIZE_TRAIN_SAMPLING)]
    if inputs.CROP.ENABLED:
        augmentations.append(
            T.RandomCrop_CategoryAreaConstraint(
                inputs.CROP.TYPE, inputs.CROP.SIZE, inputs.CROP.SINGLE_CATEGORY_MAX_AREA, ignore_label
            )
        )
    if inputs.COLOR_AUG_SSD:
        augmentations.append(ColorJitterSSD())
    augmentations += build_flips(cfg)
    if inputs.SIZE_DIVISIBILITY > 0:
        augmentations.append(PadToMultiple(inputs.SIZE_DIVISIBILITY, IMAGE_PADDING, ignore_label))
    return augmentations


def build_flips(cfg: CfgNode) -> list[T.Augmentation]:
    """The random mirroring that INPUT.RANDOM_FLIP asks for.

    Raises:
        UsageError: the key has another value.
    """
    flip = cfg.INPUT.RANDOM_FLIP
    if flip not in ("horizontal", "vertical", "none"):
        raise UsageError(f"INPUT.RANDOM_FLIP is {flip!r}; choose horizontal, vertical or none.")
    return [] if flip == "none" else [T.RandomFlip(horizontal=flip == "horizontal", vertical=flip == "vertical")]


def _scale_and_shift(img: np.ndarray, scale: float, shift: float) -> np.ndarray:
    if scale == 1.0 and shift == 0.0:
        return img
    return np.clip(img.astype(np.float32) * scale + shift, 0, 255).astype(np.uint8)
