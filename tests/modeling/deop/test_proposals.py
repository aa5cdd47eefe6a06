"""The proposal network: shapes, batches, precision, gradients, configuration, multiply-adds."""

import copy

import pytest
import torch
from detectron2.config import CfgNode
from torch.utils.flop_counter import FlopCounterMode

from errseg.errors import UsageError
from errseg.modeling.deop.pixel_decoder import PixelDecoder
from errseg.modeling.deop.proposals import Predictor, ProposalNetwork
from errseg.modeling.deop.resnet import Bottleneck, DeepStem, ResNet, ResNet101c
from tests.modeling.deop.test_frozen_norm import randomised

N, C, LAYERS = 7, 32, 3


def small(dropout=0.1):
    """A network of 0.1 M parameters whose masks differ from each other."""
    torch.manual_seed(0)
    backbone = randomised(ResNet(DeepStem(3, 8, 16), Bottleneck, (1, 1, 2, 3), width=8, multi_grid=(1, 2, 4)))
    shapes = backbone.output_shape()
    predictor = Predictor(shapes["res5"].channels, C, N, 4, 48, LAYERS, dropout, embed_dim=12)
    return ProposalNetwork(backbone=backbone, pixel_decoder=PixelDecoder(shapes, C), predictor=predictor).eval()


def images(batch=2, height=64, width=96):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network():
    return small()


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (96, 32)])
def test_shapes(network, size):
    with torch.no_grad():
        proposals = network(images(2, *size))
    assert proposals.masks.shape == (2, N, size[0] // 4, size[1] // 4) and proposals.masks.dtype == torch.float32
    assert proposals.queries.shape == (2, N, C)
    assert network.predictor.class_embed(proposals.queries).shape == (2, N, 12)


def test_masks_are_products_of_embeddings(network):
    x = images()
    coarsest, pixels = network.maps(x)
    masks, queries = network(x)
    embeddings = network.predictor.mask_embed(queries)
    torch.testing.assert_close(masks, torch.einsum("bnc,bchw->bnhw", embeddings, pixels), atol=1e-5, rtol=1e-4)
    assert coarsest.shape == (2, 256, 2, 3)


def test_a_batch_gives_what_single_images_give(network):
    x = images()
    with torch.no_grad():
        both, single = network(x), [network(image[None]) for image in x]
    torch.testing.assert_close(both.masks, torch.cat([each.masks for each in single]), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(both.queries, torch.cat([each.queries for each in single]), atol=1e-4, rtol=1e-4)


def test_the_last_of_each_layer_is_the_prediction(network):
    x = images()
    each, last = network.each_layer(x), network(x)
    assert len(each) == LAYERS and not torch.allclose(each[0].masks, each[-1].masks)
    torch.testing.assert_close(each[-1], last)


def test_gradients_with_and_without_dropout(network):
    first = network.predictor.transformer.decoder.layers[0].self_attn
    torch.nn.init.normal_(first.in_proj_bias)
    for mode in (True, False):
        network.train(mode).zero_grad()
        each = network.each_layer(images())
        loss = sum((masks.sigmoid() * torch.linspace(-1, 1, masks.shape[-1])).mean() for masks, _ in each)
        loss = loss + sum(network.predictor.class_embed(queries).square().mean() for _, queries in each)
        loss.backward()
        without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        # Without dropout, the values of the first self-attention are all equal, so its attention does not matter
        assert mode or first.in_proj_weight.grad.abs().max() < 1e-6
        assert [name for name in without if not (name.endswith("0.self_attn.in_proj_weight") and not mode)] == []


def test_training_mode_gives_the_same_without_dropout():
    network, x = small(dropout=0.0), images()
    torch.testing.assert_close(network.train().each_layer(x), network.eval().each_layer(x), atol=1e-5, rtol=1e-4)


def test_forward_changes_nothing(network):
    x = images()
    before, state = x.clone(), copy.deepcopy(network.state_dict())
    attributes = {name: set(vars(module)) for name, module in network.named_modules()}
    with torch.no_grad():
        network(x)
    assert torch.equal(x, before) and attributes == {
        name: set(vars(module)) for name, module in network.named_modules()
    }
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_half_precision(network):
    x = images()
    mixed = copy.deepcopy(network)
    mixed.backbone.bfloat16(), mixed.predictor.bfloat16()  # each part may have a precision of its own
    with torch.no_grad():
        expected = network(x).masks
        with torch.autocast("cpu", torch.bfloat16):
            predictions = [network(x).masks]
        predictions += [model(x).masks for model in (mixed, copy.deepcopy(network).bfloat16())]
        predictions.append(copy.deepcopy(network).half()(x).masks)
    for masks, limit in zip(predictions, (0.06, 0.06, 0.06, 0.01), strict=True):
        assert masks.dtype == torch.float32 and masks.isfinite().all()
        assert 0 < (masks - expected).abs().mean() < limit * expected.std()


def test_initial_queries_and_projection(network):
    predictor = Predictor(64, C, 400, 4, 48, 1, 0.1, embed_dim=12)
    assert abs(predictor.query_embed.weight.std() - 1) < 0.05
    assert not predictor.input_proj.bias.any() and predictor.input_proj.weight.abs().max() <= (3 / 64) ** 0.5


def test_multiply_adds_of_the_released_size():
    """Section 12 at 512 x 512: 47.8, 25.4 and 4.4 - 2.7 for the masks of five layers and for ``class_embed``."""
    with torch.device("meta"):
        backbone = ResNet101c(in_channels=3)
        shapes = backbone.output_shape()
        predictor = Predictor(2048, 256, 100, 8, 2048, 6, 0.1, embed_dim=512)
        network = ProposalNetwork(backbone=backbone, pixel_decoder=PixelDecoder(shapes, 256), predictor=predictor)
    assert sum(p.numel() for p in network.pixel_decoder.parameters()) == 7_540_480
    assert sum(p.numel() for p in predictor.parameters()) == 11_008_512
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(torch.empty(1, 3, 512, 512, device="meta"))
        counts = {name: sum(flops.values()) / 2e9 for name, flops in counter.get_flop_counts().items()}
    parts = [counts[f"ProposalNetwork.{name}"] for name in ("backbone", "pixel_decoder", "predictor")]
    assert parts == pytest.approx([47.8, 25.4, 4.4 - 2.7], rel=0.03)


def config(**changes):
    cfg = CfgNode({"MODEL": {"PIXEL_MEAN": [0.0, 0.0, 0.0], "GRADIENT_CHECKPOINTING": False, "PROPOSALS": {}}})
    keys = {"BACKBONE": "ResNet18c", "NUM_QUERIES": N, "DIM": C, "NUM_HEADS": 4, "FFN_DIM": 48, "NUM_LAYERS": 2}
    cfg.MODEL.PROPOSALS = CfgNode({**keys, "DROPOUT": 0.1, **changes})
    return cfg


def test_configuration():
    network = ProposalNetwork(config(), 12).eval()
    assert (
        network.predictor.query_embed.weight.shape == (N, C) and len(network.predictor.transformer.decoder.layers) == 2
    )
    assert network(images(1)).masks.shape == (1, N, 16, 24)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("BACKBONE", "ResNet7", "MODEL.PROPOSALS.BACKBONE = 'ResNet7' is no backbone of proposals"),
        ("DIM", 40, "MODEL.PROPOSALS.DIM = 40 is no multiple of 32"),
        ("NUM_HEADS", 3, "MODEL.PROPOSALS.NUM_HEADS = 3 does not divide MODEL.PROPOSALS.DIM = 32"),
        ("NUM_QUERIES", 0, "MODEL.PROPOSALS.NUM_QUERIES = 0; give at least 1"),
        ("NUM_LAYERS", 0, "MODEL.PROPOSALS.NUM_LAYERS = 0; give at least 1"),
    ],
)
def test_values_that_do_not_fit(key, value, message):
    with pytest.raises(UsageError, match=message):
        ProposalNetwork(config(**{key: value}), 12)
