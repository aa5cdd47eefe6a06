"""A tiny random DeOP whose masks and classes differ from image to image."""

import pytest
import torch

import errseg
from tests.conftest import NAMES, TINY_SYSTEMS

SMALLER = ("MODEL.PROPOSALS.BACKBONE", "ResNet18cHalf")  # built in half the time, and for most of these tests enough


def spread(model):
    """Give plain noise some contrast: masks and classes of a freshly built model are nearly equal everywhere."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        model.proposals.predictor.mask_embed.layers[2].bias.normal_(generator=generator)
        model.proposals.pixel_decoder.mask_features.bias.normal_(generator=generator)
        model.anchors.anchors.weight.mul_(8)
        for parameter in model.anchors.parameters():  # zero at the start
            if parameter.ndim == 1 and not parameter.any():
                parameter.normal_(std=0.1, generator=generator)
        model.classifier.no_object.copy_(model.text_embeddings.mean(0))
    return model


def sharpen(model):
    """As ``spread``, and several names win pixels: masks differ, and anchors look at different places."""
    spread(model)
    with torch.no_grad():
        model.proposals.predictor.query_embed.weight.mul_(8)
        model.proposals.predictor.mask_embed.layers[2].weight.mul_(8)
        model.anchors.outlayer.heatmaps.in_proj_weight.mul_(4)
    return model


@pytest.fixture
def deop(tiny_cfg):
    """``deop(KEY, value, ...)``: a seeded tiny DeOP with those keys changed, its vocabulary set to NAMES."""

    def make(*changes):
        tiny_cfg.merge_from_list(["MODEL.META_ARCHITECTURE", "DeOP", *TINY_SYSTEMS["DeOP"], *SMALLER, *changes])
        torch.manual_seed(0)
        model = errseg.build_model(tiny_cfg)
        model.set_vocabulary(NAMES)
        return spread(model)

    return make
