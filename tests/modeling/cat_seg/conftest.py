"""A tiny random CAT-Seg whose costs, guidance and padding have weight in its scores."""

import pytest
import torch

import errseg
from tests.conftest import NAMES, TINY_SYSTEMS


def spread(model):
    """Give a freshly built model some contrast, and values to its padding, in place; returns it."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.sem_seg_head.named_parameters():
            if "padding" in name or name.startswith("embedding"):
                parameter.normal_(generator=generator)
    return model


@pytest.fixture
def cat_seg(tiny_cfg):
    """``cat_seg(KEY, value, ...)``: a seeded tiny CAT-Seg with those keys changed, its vocabulary set to NAMES."""

    def make(*changes):
        tiny_cfg.merge_from_list(["MODEL.META_ARCHITECTURE", "CATSeg", *TINY_SYSTEMS["CATSeg"], *changes])
        torch.manual_seed(0)
        model = spread(errseg.build_model(tiny_cfg))
        model.set_vocabulary(NAMES)
        return model

    return make
