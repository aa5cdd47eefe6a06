"""Registries of architectures, backbones and heads, and the functions that build from a configuration."""

from abc import ABCMeta, abstractmethod

import torch
from torch import nn

from ..config import CfgNode
from ..layers import ShapeSpec
from ..outside import outside
from ..utils.registry import Registry

__all__ = [
    "META_ARCH_REGISTRY",
    "BACKBONE_REGISTRY",
    "SEM_SEG_HEADS_REGISTRY",
    "Backbone",
    "ShapeSpec",
    "build_model",
    "build_backbone",
    "build_sem_seg_head",
]

__getattr__ = outside(globals())

META_ARCH_REGISTRY = Registry("META_ARCH")  # called with cfg
BACKBONE_REGISTRY = Registry("BACKBONE")  # called with cfg and the input's ShapeSpec
SEM_SEG_HEADS_REGISTRY = Registry("SEM_SEG_HEADS")  # called with cfg and the backbone's {name: ShapeSpec}


class Backbone(nn.Module, metaclass=ABCMeta):
    """A network from images to named feature maps.

    A subclass sets ``_out_features`` (names), ``_out_feature_channels`` and ``_out_feature_strides`` (by name), or
    overrides ``output_shape``.
    """

    @abstractmethod
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """The feature maps of images, by name. A class that does not define it cannot be instantiated."""

    @property
    def size_divisibility(self) -> int:
        """The image's height and width must be multiples of this; 0: any size."""
        return 0

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of each feature map, by name."""
        return {
            name: ShapeSpec(channels=self._out_feature_channels[name], stride=self._out_feature_strides[name])
            for name in self._out_features
        }


def build_model(cfg: CfgNode) -> nn.Module:
    """The architecture ``cfg.MODEL.META_ARCHITECTURE`` on ``cfg.MODEL.DEVICE``, without weights from a file."""
    model = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)
    return model.to(torch.device(cfg.MODEL.DEVICE))


def build_backbone(cfg: CfgNode, input_shape: ShapeSpec | None = None) -> Backbone:
    """The backbone ``cfg.MODEL.BACKBONE.NAME``, for images of as many channels as ``PIXEL_MEAN`` has by default."""
    input_shape = input_shape or ShapeSpec(channels=len(cfg.MODEL.PIXEL_MEAN))
    built = BACKBONE_REGISTRY.get(cfg.MODEL.BACKBONE.NAME)(cfg, input_shape)
    if not isinstance(built, Backbone):
        raise TypeError(f"MODEL.BACKBONE.NAME '{cfg.MODEL.BACKBONE.NAME}' builds a {type(built)}, not a Backbone.")
    return built


def build_sem_seg_head(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> nn.Module:
    """The head ``cfg.MODEL.SEM_SEG_HEAD.NAME`` for a backbone of ``input_shape``."""
    return SEM_SEG_HEADS_REGISTRY.get(cfg.MODEL.SEM_SEG_HEAD.NAME)(cfg, input_shape)


from . import backbone, meta_arch  # noqa: E402, F401  Detectron2's paths to what is here
