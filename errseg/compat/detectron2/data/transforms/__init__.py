"""Deterministic transforms (fvcore's, and a resize) and the random augmentations that choose them."""

from fvcore.transforms.transform import (
    BlendTransform,
    CropTransform,
    HFlipTransform,
    NoOpTransform,
    PadTransform,
    Transform,
    TransformList,
    VFlipTransform,
)

from .augmentation import AugInput, Augmentation, AugmentationList
from .augmentation_impl import (
    RandomCrop,
    RandomCrop_CategoryAreaConstraint,
    RandomFlip,
    ResizeShortestEdge,
)
from .transform import ResizeTransform

__all__ = [
    "BlendTransform", "CropTransform", "HFlipTransform", "NoOpTransform", "PadTransform", "ResizeTransform",
    "Transform", "TransformList", "VFlipTransform", "Augmentation", "AugmentationList", "AugInput", "RandomCrop",
    "RandomCrop_CategoryAreaConstraint", "RandomFlip", "ResizeShortestEdge",
]
