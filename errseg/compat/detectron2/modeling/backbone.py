"""Backbones, at Detectron2's module path."""

from ..outside import outside
from . import BACKBONE_REGISTRY, Backbone, build_backbone

__getattr__ = outside(globals())

__all__ = ["BACKBONE_REGISTRY", "Backbone", "build_backbone"]
