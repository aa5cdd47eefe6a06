"""``ShapeSpec``; the layers themselves are Detectron2's alone."""

from dataclasses import dataclass

from .outside import outside

__all__ = ["ShapeSpec"]

__getattr__ = outside(globals())


@dataclass
class ShapeSpec:
    """Channels, height, width, and stride to the image, in pixels; None where not known."""

    channels: int | None = None
    height: int | None = None
    width: int | None = None
    stride: int | None = None
