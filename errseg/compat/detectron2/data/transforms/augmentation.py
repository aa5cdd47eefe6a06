"""Augmentations: policies that look at an input and choose a deterministic transform for all of its parts."""

import inspect
from collections.abc import Sequence

import numpy as np
from fvcore.transforms.transform import Transform, TransformList

__all__ = ["Augmentation", "AugmentationList", "AugInput"]


class Augmentation:
    """Chooses a transform.

    A subclass defines ``get_transform``, which draws from ``np.random`` and whose parameters are named after the
    attributes of ``AugInput`` that it needs: ``image``, or ``image`` and ``sem_seg``.
    """

    def get_transform(self, *args: np.ndarray) -> Transform:
        """The transform for this input."""
        raise NotImplementedError(f"{type(self).__name__} must define get_transform.")

    def __call__(self, aug_input: "AugInput") -> Transform:
        """Transform ``aug_input`` in place and return the transform, for use on further data."""
        names = inspect.signature(self.get_transform).parameters
        for name in names:
            if getattr(aug_input, name, None) is None:
                raise AttributeError(f"{type(self).__name__} needs the input's '{name}', which it has not.")
        transform = self.get_transform(*(getattr(aug_input, name) for name in names))
        aug_input.transform(transform)
        return transform

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self)).parameters.values()
        values = ((p, getattr(self, p.name, p.default)) for p in parameters)
        return f"{type(self).__name__}({', '.join(f'{p.name}={v!r}' for p, v in values if v is not p.default)})"


class _Always(Augmentation):
    """A given transform, as an augmentation."""

    def __init__(self, transform: Transform) -> None:
        self.transform = transform

    def get_transform(self) -> Transform:
        return self.transform

    def __repr__(self) -> str:
        return repr(self.transform)


class AugmentationList(Augmentation):
    """Augmentations, or transforms, one after the other.

    Args:
        augs: in order.
    """

    def __init__(self, augs: Sequence[Augmentation | Transform]) -> None:
        self.augs = [_Always(aug) if isinstance(aug, Transform) else aug for aug in augs]

    def __call__(self, aug_input: "AugInput") -> TransformList:
        return TransformList([aug(aug_input) for aug in self.augs])

    def __repr__(self) -> str:
        return f"AugmentationList[{', '.join(map(repr, self.augs))}]"


class AugInput:
    """What is augmented together.

    Args:
        image: (H, W) or (H, W, C), uint8 in 0-255 or floating point.
        boxes: (N, 4) absolute x0, y0, x1, y1, or None.
        sem_seg: (H, W) class ids, or None.
    """

    def __init__(
        self, image: np.ndarray, *, boxes: np.ndarray | None = None, sem_seg: np.ndarray | None = None
    ) -> None:
        if not isinstance(image, np.ndarray) or image.ndim not in (2, 3):
            raise AssertionError(f"AugInput needs an image of shape (H, W) or (H, W, C), got {type(image)}.")
        self.image = image
        self.boxes = boxes
        self.sem_seg = sem_seg

    def transform(self, tfm: Transform) -> None:
        """Apply a transform to every part, in place."""
        self.image = tfm.apply_image(self.image)
        if self.boxes is not None:
            self.boxes = tfm.apply_box(self.boxes)
        if self.sem_seg is not None:
            self.sem_seg = tfm.apply_segmentation(self.sem_seg)

    def apply_augmentations(self, augmentations: Sequence[Augmentation | Transform]) -> TransformList:
        """Apply augmentations in place and return the transforms they chose."""
        return AugmentationList(augmentations)(self)
