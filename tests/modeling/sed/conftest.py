"""A tiny random SED whose scores differ from name to name."""

import pytest
import torch

import errseg
from tests.conftest import NAMES, TINY_SYSTEMS


@pytest.fixture
def sed(tiny_cfg):
    """``sed(KEY, value, ...)``: a seeded tiny SED with those keys changed, its vocabulary set to NAMES.

    As in the recorded numbers, the cost map counts more than in plain noise, and the names differ.
    """

    def make(*changes):
        tiny_cfg.merge_from_list(["MODEL.META_ARCHITECTURE", "SED", *TINY_SYSTEMS["SED"], *changes])
        torch.manual_seed(0)
        model = errseg.build_model(tiny_cfg)
        with torch.no_grad():
            model.decoder.embed.conv.weight.mul_(16)
            model.decoder.head.weight.mul_(4)
        model.set_vocabulary(NAMES)
        return model

    return make
