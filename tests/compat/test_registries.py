"""Registries, and what they build; data sets and their metadata by name."""

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
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
from detectron2.utils.registry import Registry
from torch import nn


def test_registry():
    registry = Registry("THINGS")

    @registry.register()
    class Thing:
        pass

    assert registry.get("Thing") is Thing and "Thing" in registry
    with pytest.raises(KeyError, match="Other.*THINGS"):
        registry.get("Other")
    with pytest.raises(AssertionError):
        registry.register(Thing)


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


def test_dataset_catalog():
    DatasetCatalog.register("interface_test", lambda: [{"file_name": "a"}])
    try:
        assert DatasetCatalog.get("interface_test") == [{"file_name": "a"}]
        assert "interface_test" in DatasetCatalog and "interface_test" in DatasetCatalog.list()
        with pytest.raises(AssertionError, match="interface_test"):
            DatasetCatalog.register("interface_test", list)
    finally:
        DatasetCatalog.remove("interface_test")
    with pytest.raises(KeyError, match="interface_test.* not registered"):
        DatasetCatalog.get("interface_test")


def test_metadata():
    meta = MetadataCatalog.get("interface_test")
    assert meta.set(stuff_classes=["a"], ignore_label=255) is meta
    assert MetadataCatalog.get("interface_test") is meta
    assert (meta.name, meta.ignore_label, meta.get("nothing", 3)) == ("interface_test", 255, 3)
    meta.ignore_label = 255  # the same value again
    with pytest.raises(AssertionError, match="ignore_label"):
        meta.ignore_label = 0
    with pytest.raises(AttributeError, match="nothing.*interface_test"):
        _ = meta.nothing
    assert not hasattr(meta, "nothing")
    MetadataCatalog.remove("interface_test")
    assert MetadataCatalog.get("interface_test").get("ignore_label") is None
    MetadataCatalog.remove("interface_test")


def test_detectron2s_paths_to_registries():
    from detectron2 import modeling
    from detectron2.layers import ShapeSpec
    from detectron2.modeling.backbone import BACKBONE_REGISTRY, Backbone, build_backbone
    from detectron2.modeling.meta_arch import META_ARCH_REGISTRY, build_model

    assert META_ARCH_REGISTRY is modeling.META_ARCH_REGISTRY and BACKBONE_REGISTRY is modeling.BACKBONE_REGISTRY
    assert ShapeSpec is modeling.ShapeSpec and Backbone is modeling.Backbone
    assert build_model is modeling.build_model and build_backbone is modeling.build_backbone
