"""The shape of a feature map, as far as it is known before an image is."""

from dataclasses import dataclass

__all__ = ["ShapeSpec"]


@dataclass
class ShapeSpec:
    """Channels, height, width, and stride to the image, in pixels; None where not known."""

    channels: int | None = None
    height: int | None = None
    width: int | None = None
    stride: int | None = None
