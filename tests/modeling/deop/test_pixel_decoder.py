"""The pixel decoder: its formula, sizes, gradients, initial values."""

import pytest
import torch
import torch.nn.functional as F
from detectron2.modeling import ShapeSpec

from errseg.errors import ArgumentError
from errseg.modeling.deop.pixel_decoder import PixelDecoder

CHANNELS = {"res2": 4, "res3": 6, "res4": 8, "res5": 10}
SHAPES = {name: ShapeSpec(channels=width, stride=4 << i) for i, (name, width) in enumerate(CHANNELS.items())}
DIM = 32


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    decoder = PixelDecoder(SHAPES, DIM)
    for name, parameter in decoder.named_parameters():
        if ".norm." in name:
            torch.nn.init.normal_(parameter)
    return decoder


def features(batch=2, height=3, width=2):
    generator = torch.Generator().manual_seed(0)
    sizes = {name: (height << i, width << i) for i, name in enumerate(reversed(CHANNELS))}
    return {name: torch.randn(batch, CHANNELS[name], *sizes[name], generator=generator) for name in CHANNELS}


def test_the_formula(decoder):
    weights = decoder.state_dict()

    def conv(name, x):
        x = F.conv2d(x, weights[f"{name}.weight"], padding=weights[f"{name}.weight"].shape[-1] // 2)
        return F.group_norm(x, 32, weights[f"{name}.norm.weight"], weights[f"{name}.norm.bias"])

    maps = features()
    x = conv("layer_4", maps["res5"]).relu()
    for index, name in ((3, "res4"), (2, "res3"), (1, "res2")):
        x = conv(f"adapter_{index}", maps[name]) + x.repeat_interleave(2, -1).repeat_interleave(2, -2)
        x = conv(f"layer_{index}", x).relu()
    expected = F.conv2d(x, weights["mask_features.weight"], weights["mask_features.bias"], padding=1)
    pixels = decoder(maps)
    assert pixels.shape == (2, DIM, 24, 16)
    torch.testing.assert_close(pixels, expected)


def test_order_of_the_maps_is_that_of_their_strides(decoder):
    shuffled = PixelDecoder(dict(reversed(SHAPES.items())), DIM)
    shuffled.load_state_dict(decoder.state_dict())
    assert torch.equal(shuffled(features()), decoder(features()))


def test_gradients_and_batches(decoder):
    maps = features()
    decoder(maps).square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in decoder.parameters())
    single = torch.cat([decoder({name: value[i : i + 1] for name, value in maps.items()}) for i in range(2)])
    torch.testing.assert_close(decoder(maps), single, atol=1e-5, rtol=1e-5)


def test_initial_values():
    weight = PixelDecoder(SHAPES, DIM).layer_1.weight
    bound = (3 / (DIM * 9)) ** 0.5
    assert 0.99 * bound < weight.abs().max() <= bound and abs(weight.std() - bound / 3**0.5) < 0.01 * bound


@pytest.mark.parametrize("dim", [0, 48])
def test_a_width_that_does_not_fit_the_groups(dim):
    with pytest.raises(ArgumentError, match=f"dim = {dim} is no multiple of 32"):
        PixelDecoder(SHAPES, dim)


def test_a_map_of_one_location(decoder):
    """Each group of the coarsest map has a single value there, whose normalised value is 0: the bias is left."""
    norm = decoder.layer_4.norm
    torch.testing.assert_close(norm(torch.randn(1, DIM, 1, 1)), norm.bias.view(1, -1, 1, 1), atol=1e-4, rtol=0)
    assert decoder(features(1, 1, 1)).shape == (1, DIM, 8, 8)
