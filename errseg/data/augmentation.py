"""The training augmentations of the recipe: resizing, category-aware crop, colour, flip, padding."""

import cv2
import numpy as np
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from fvcore.transforms.transform import PadTransform

from errseg.errors import UsageError

__all__ = ["ColorJitterSSD", "PadToMultiple", "build_augmentations"]

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
    if inputs.RANDOM_FLIP not in ("horizontal", "vertical", "none"):
        raise UsageError(f"INPUT.RANDOM_FLIP is {inputs.RANDOM_FLIP!r}; choose horizontal, vertical or none.")
    if inputs.RANDOM_FLIP != "none":
        horizontal = inputs.RANDOM_FLIP == "horizontal"
        augmentations.append(T.RandomFlip(horizontal=horizontal, vertical=not horizontal))
    if inputs.SIZE_DIVISIBILITY > 0:
        augmentations.append(PadToMultiple(inputs.SIZE_DIVISIBILITY, IMAGE_PADDING, ignore_label))
    return augmentations


def _scale_and_shift(img: np.ndarray, scale: float, shift: float) -> np.ndarray:
    if scale == 1.0 and shift == 0.0:
        return img
    return np.clip(img.astype(np.float32) * scale + shift, 0, 255).astype(np.uint8)
