"""Values that a key's type allows, but no model, reader or schedule."""

import pytest

import errseg
from errseg.config.values import CHOICES, RANGES, check_values
from errseg.errors import UsageError


def test_the_defaults_and_the_bounds_are_allowed():
    cfg = errseg.get_cfg()
    check_values(cfg)
    for key, choices in CHOICES.items():
        for choice in choices:
            cfg.merge_from_list([key, choice])
            check_values(cfg)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.DEVICE", None),
        ("MODEL.CLIP.NAME", None),
        ("OUTPUT_DIR", None),
        ("MODEL.PIXEL_STD", [0.0, 1.0, 1.0]),
        ("MODEL.PIXEL_STD", [1.0, 1.0]),
        ("MODEL.PIXEL_MEAN", [float("nan"), 1.0, 1.0]),
        ("MODEL.PIXEL_MEAN", ["a", 1.0, 1.0]),
        ("MODEL.ESCF.NUM_LAYERS", -1),
        ("MODEL.ESCF.NUM_LAYERS", 10**9),
        ("MODEL.ESCF.DIM", 0),
        ("MODEL.ESCF.DROP_PATH", float("inf")),
        ("MODEL.GUD.KERNEL_SIZE", 2),
        ("MODEL.CRM.NUM_CLASSES_TEST", -5),
        ("MODEL.SEM_SEG_HEAD.IGNORE_VALUE", 70000),
        ("INPUT.FORMAT", "XYZ"),
        ("INPUT.FORMAT", "BGR"),
        ("INPUT.RESOLUTION_TEST", 10**9),
        ("INPUT.RESOLUTION_TRAIN", 0),
        ("INPUT.CROP.SIZE", [0, 64]),
        ("INPUT.CROP.TYPE", "circle"),
        ("TEST.SCALES", (1.0, 1e9)),
        ("TEST.MEAN_OVER", "prediction"),
        ("SOLVER.BASE_LR", float("nan")),
        ("SOLVER.BASE_LR", -1.0),
        ("SOLVER.CHECKPOINT_PERIOD", 0),
        ("DATALOADER.NUM_WORKERS", -1),
    ],
)
def test_values_that_are_refused(tiny_cfg, key, value):
    tiny_cfg.merge_from_list([key, value])
    with pytest.raises(UsageError, match=f"{key} = "):
        errseg.build_model(tiny_cfg)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.META_ARCHITECTURE", "NoSuchModel"),
        ("MODEL.BACKBONE.NAME", "NoSuchBackbone"),
        ("MODEL.SEM_SEG_HEAD.NAME", "NoSuchHead"),
        ("MODEL.DEVICE", "gpu"),
        ("MODEL.DEVICE", ""),
        ("MODEL.DEVICE", "cuda:99"),
    ],
)
def test_names_that_nothing_has(tiny_cfg, key, value):
    tiny_cfg.merge_from_list([key, value])
    with pytest.raises(UsageError, match=f"{key} "):
        errseg.build_model(tiny_cfg)


def test_every_range_is_of_a_key():
    cfg = errseg.get_cfg()
    for key in (*RANGES, *CHOICES):
        node = cfg
        for part in key.split("."):
            node = node[part]
