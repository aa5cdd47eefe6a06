"""The skip-layer fusion module, and names and locations in parts."""

import pytest
import torch

from errseg.modeling.sed import cost, parts
from errseg.modeling.sed.class_attention import ClassAttention
from errseg.modeling.sed.cost import CostEmbedding, CostGuidance, FeatureGuidance, Unguided
from errseg.modeling.sed.parts import over_locations, over_names
from errseg.modeling.sed.plain import plain_form
from errseg.modeling.sed.skip import SkipFusion
from errseg.modeling.sed.spatial import ConvNeXtBlock


def rand(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.fixture(params=["whole", "parts"])
def grad(request, monkeypatch):
    """Whether gradients are kept: if not, names and locations go through in parts, here of one or two."""
    monkeypatch.setattr(parts, "CACHED", 1000)
    with torch.set_grad_enabled(request.param == "whole"):
        yield


@pytest.mark.parametrize("features", [FeatureGuidance(6, 8), Unguided()], ids=["image", "no image"])
@pytest.mark.parametrize("costs", [CostGuidance(5, 8), Unguided()], ids=["costs", "no costs"])
def test_skip_fusion_is_its_plain_form(features, costs, grad):
    """The bias of the transposed convolution has no part beyond the border."""
    skip = SkipFusion(32, 16, features, costs)
    with torch.no_grad():
        skip.up.bias.mul_(50)
    x, guidance, image = rand(6, 32, 4, 3), rand(6, 5, 4, 3), rand(2, 6, 8, 6)
    close(skip(x, guidance, image), plain_form(skip)(x, skip.costs(guidance), image))
    then = skip(x, guidance, image, lambda y: y.sum(1, keepdim=True))
    close(then, skip(x, guidance, image).sum(1, keepdim=True))


def test_the_maps_of_a_part_of_one_name_keep_their_layout(monkeypatch):
    """Else every layer behind would copy them, and be slower."""
    monkeypatch.setattr(parts, "CACHED", 1)
    skip, layouts = SkipFusion(32, 16, FeatureGuidance(6, 8), CostGuidance(5, 8)), []
    skip.refine[1].register_forward_hook(
        lambda norm, args, y: layouts.append(y.is_contiguous(memory_format=torch.channels_last))
    )
    with torch.no_grad():
        skip(rand(2, 32, 4, 3).contiguous(memory_format=torch.channels_last), rand(2, 5, 4, 3), rand(1, 6, 8, 6))
    assert layouts == [True, True]


@pytest.mark.parametrize("attention", ["linear", "softmax"])
@pytest.mark.parametrize("pooling", [1, 2])
def test_class_attention_is_its_plain_form(attention, pooling, grad):
    module, x = ClassAttention(8, attention, pooling_test=pooling).eval(), rand(6, 8, 5, 4)
    close(module(x, 2), plain_form(module)(x, 2))


def test_embedding_and_block_are_their_plain_forms(grad, monkeypatch):
    embedding, block = CostEmbedding(3, 8), ConvNeXtBlock(8, 5)
    with torch.no_grad():
        block.gamma.normal_(generator=torch.Generator().manual_seed(0))
    for module, x in ((embedding, rand(5, 3, 4, 6)), (block, rand(5, 8, 4, 6))):
        close(module(x), plain_form(module)(x))
    monkeypatch.setattr(cost, "MANY", 5)  # without gradients, by the spectrum
    close(embedding(rand(5, 3, 4, 6)), plain_form(embedding)(rand(5, 3, 4, 6)))


def test_parts_are_small_and_in_order(monkeypatch):
    monkeypatch.setattr(parts, "CACHED", 20)
    sizes, x = [], rand(7, 3, 2, 2)

    def function(x, y):
        sizes.append(len(x))
        return x + y

    with torch.no_grad():
        assert torch.equal(over_names(function, x, x, elements=10), x + x) and sizes == [2, 2, 2, 1]
        tokens = rand(1, 3, 5, 2)
        assert torch.equal(over_locations(lambda z: z.cumsum(1), tokens), tokens.cumsum(1))
