"""Tiny random segmenters, and a picture."""

import numpy as np
import pytest
import torch

import errseg
from errseg.api import Segmenter
from tests.conftest import NAMES, TINY_SYSTEMS
from tests.modeling.deop.conftest import sharpen


@pytest.fixture
def segmenter(build, tiny_cfg):
    """``segmenter(KEY, value, ..., num_classes=K)``: a tiny model that has NAMES, of which CRM keeps K."""

    def make(*changes, num_classes=3, names=NAMES):
        made = Segmenter(build("INPUT.MIN_SIZE_TEST", 0, *changes), tiny_cfg)
        made.set_vocabulary(names, num_classes if tiny_cfg.MODEL.CRM.ENABLED else None)  # without CRM there is no K
        return made

    return make


@pytest.fixture
def deop(tiny_cfg):
    """``deop(KEY, value, ..., names=NAMES)``: a tiny DeOP that sees pictures at their own size."""

    def make(*changes, names=NAMES):
        keys = ["MODEL.META_ARCHITECTURE", "DeOP", *TINY_SYSTEMS["DeOP"], "INPUT.MIN_SIZE_TEST", 0, *changes]
        tiny_cfg.merge_from_list(keys)
        torch.manual_seed(0)
        model = errseg.build_model(tiny_cfg)
        model.set_vocabulary(NAMES)
        made = Segmenter(sharpen(model), tiny_cfg)
        made.set_vocabulary(names)
        return made

    return make


@pytest.fixture
def picture():
    """(50, 70, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
