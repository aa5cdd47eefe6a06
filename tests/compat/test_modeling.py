"""Models and backbones that are built from registries."""

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import (
    BACKBONE_REGISTRY,
    META_ARCH_REGISTRY,
    SEM_SEG_HEADS_REGISTRY,
    Backbone,
    ShapeSpec,
    build_backbone,
    build_model,
    build_sem_seg_head,
)
from torch import nn


def test_shape_spec():
    assert ShapeSpec(channels=3) == ShapeSpec(channels=3, height=None, width=None, stride=None)


class StrideTwo(Backbone):
    def __init__(self, cfg, input_shape):
        super().__init__()
        self.conv = nn.Conv2d(input_shape.channels, 5, 3, stride=2)
        self._out_features = ["out"]
        self._out_feature_channels = {"out": 5}
        self._out_feature_strides = {"out": 2}

    def forward(self, x):
        return {"out": self.conv(x)}


class Head(nn.Module):
    def __init__(self, cfg, input_shape):
        super().__init__()
        self.shape = input_shape


class Whole(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.backbone = build_backbone(cfg)
        self.head = build_sem_seg_head(cfg, self.backbone.output_shape())


def test_models_are_built_from_registries():
    for registry, part in ((BACKBONE_REGISTRY, StrideTwo), (SEM_SEG_HEADS_REGISTRY, Head), (META_ARCH_REGISTRY, Whole)):
        if part.__name__ not in registry:
            registry.register(part)
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.BACKBONE.NAME, cfg.MODEL.SEM_SEG_HEAD.NAME = "Whole", "StrideTwo", "Head"
    model = build_model(cfg)
    assert model.head.shape == {"out": ShapeSpec(channels=5, stride=2)}
    assert model.backbone.conv.weight.shape == (5, 3, 3, 3)  # as many channels as PIXEL_MEAN
    assert model.backbone.size_divisibility == 0
    assert next(model.parameters()).device == torch.device("cpu")
    cfg.MODEL.META_ARCHITECTURE = "Nothing"
    with pytest.raises(KeyError, match="Nothing"):
        build_model(cfg)


def test_detectron2s_paths_to_registries():
    from detectron2 import modeling
    from detectron2.layers import ShapeSpec
    from detectron2.modeling.backbone import BACKBONE_REGISTRY, Backbone, build_backbone
    from detectron2.modeling.meta_arch import META_ARCH_REGISTRY, build_model

    assert META_ARCH_REGISTRY is modeling.META_ARCH_REGISTRY and BACKBONE_REGISTRY is modeling.BACKBONE_REGISTRY
    assert ShapeSpec is modeling.ShapeSpec and Backbone is modeling.Backbone
    assert build_model is modeling.build_model and build_backbone is modeling.build_backbone
