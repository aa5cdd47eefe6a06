"""Tiny random segmenters, and a picture."""

import numpy as np
import pytest

from errseg.api import Segmenter
from tests.conftest import NAMES


@pytest.fixture
def segmenter(build, tiny_cfg):
    """``segmenter(KEY, value, ..., num_classes=K)``: a tiny model that has NAMES, of which CRM keeps K."""

    def make(*changes, num_classes=3, names=NAMES):
        made = Segmenter(build("INPUT.MIN_SIZE_TEST", 0, *changes), tiny_cfg)
        made.set_vocabulary(names, num_classes)
        return made

    return make


@pytest.fixture
def picture():
    """(50, 70, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
