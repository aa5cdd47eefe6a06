"""Each part of the model computes what the plain form computes, with less work; so do their gradients."""

import pytest
import torch

from errseg.modeling.cat_seg.classes import ClassAggregation
from errseg.modeling.cat_seg.decoder import Decoder
from errseg.modeling.cat_seg.plain import PLAIN, plain_form
from errseg.modeling.cat_seg.spatial import SpatialAggregation


def assert_same(module, *inputs):
    """The same outputs, and the same gradients of inputs and parameters, as the plain form of a module."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    plain, results = plain_form(module), []
    assert type(plain) is PLAIN[type(module)]
    for each in (module, plain):
        leaves = [x.clone().requires_grad_() if isinstance(x, torch.Tensor) else x for x in inputs]
        output = each(*leaves)
        weights = torch.linspace(-1, 1, output.numel()).view_as(output)
        wanted = [x for x in leaves if isinstance(x, torch.Tensor)] + list(each.parameters())
        results.append([output, *torch.autograd.grad((output * weights).sum(), wanted, allow_unused=True)])
    largest = max(float(x.detach().abs().max()) for x in results[1] if x is not None)  # a key's bias has no gradient
    for ours, literal in zip(*results, strict=True):
        if literal is None:  # a padding that nothing is padded with
            assert ours is None or not ours.any()
        else:
            torch.testing.assert_close(ours, literal, rtol=1e-3, atol=1e-5 * largest)
    with torch.no_grad():  # in parts
        torch.testing.assert_close(module(*inputs), results[1][0].detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("attention", ["linear", "full"])
@pytest.mark.parametrize("max_classes", [9, 5, 3, 0], ids="padded {}".format)
@pytest.mark.parametrize("guided", [True, False], ids=["guided", "unguided"])
def test_padding_is_counted_and_guidance_is_shared(attention, max_classes, guided):
    width = 6 * guided
    module = ClassAggregation(8, width, 2, 4, attention, (2, 2), (1, 1), max_classes)
    guidance = torch.randn(2, 5, 6) if guided else None
    assert_same(module.train(), torch.randn(2, 5, 16, 8), None, guidance)
    assert_same(module.eval(), torch.randn(2, 5, 16, 8), None, guidance)


@pytest.mark.parametrize("window", [2, 4, 9])
@pytest.mark.parametrize("guided", [True, False], ids=["guided", "unguided"])
def test_image_guidance_is_shared(window, guided):
    module = SpatialAggregation(8, 6 * guided, 2, 4, window)
    assert (module.blocks[1].attn_mask is None) == (window >= 4)
    assert_same(module, torch.randn(2, 3, 16, 8), torch.randn(2, 16, 6) if guided else None, None)


@pytest.mark.parametrize("guided", [True, False], ids=["guided", "unguided"])
def test_two_convolutions_are_one(guided):
    module = Decoder(12, (5, 3) if guided else (), (8, 6))
    x, maps = torch.randn(2, 3, 4 * 6, 12), [torch.randn(2, 5, 8, 12), torch.randn(2, 3, 16, 24)] if guided else []
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    plain, results = plain_form(module), []
    for each in (module, plain):
        output = each(x, maps, (4, 6))
        results.append([output, *torch.autograd.grad((output**2).sum(), list(each.parameters()))])
    for ours, literal in zip(*results, strict=True):
        torch.testing.assert_close(ours, literal, rtol=1e-3, atol=1e-4 * float(literal.abs().max()))


CASES = {
    "released": (),
    "more names than classes": ("MODEL.COST.MAX_CLASSES", 3),
    "no padding": ("MODEL.COST.MAX_CLASSES", 0),
    "features": ("MODEL.COST.KIND", "features"),
    "full attention": ("MODEL.AGGREGATION.ATTENTION", "full"),
    "classes alone": ("MODEL.AGGREGATION.SPATIAL", False),
    "locations alone": ("MODEL.AGGREGATION.CLASS", False),
    "no guidance": (
        *("MODEL.AGGREGATION.IMAGE_GUIDANCE", False, "MODEL.AGGREGATION.TEXT_GUIDANCE", False),
        *("MODEL.UPSAMPLING.GUIDED", False),
    ),
    "windows": ("TEST.SLIDING_WINDOW", True, "TEST.WINDOW_CANVAS", 100, "TEST.WINDOW_WHOLE", True),
}


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_whole_model(changes, cat_seg, make_batch):
    model = cat_seg(*changes)
    plain, batch = plain_form(model), make_batch(2, 50)
    torch.testing.assert_close(plain.text_embeddings, model.text_embeddings, atol=1e-6, rtol=0)
    with torch.no_grad():
        for ours, literal in zip(model(batch), plain(batch), strict=True):
            torch.testing.assert_close(ours["sem_seg"], literal["sem_seg"], atol=1e-5, rtol=1e-4)
        labels = model.label_maps(batch)
        assert all(
            (ours == literal).float().mean() > 0.999
            for ours, literal in zip(labels, plain.label_maps(batch), strict=True)
        )
        assert len(labels[0].unique()) > 2
    norms, losses = [], []
    for each in (model, plain):
        each.zero_grad()
        losses.append(each.train()(make_batch(2))["loss_sem_seg"])
        losses[-1].backward()
        norms.append(torch.stack([p.grad.norm() for p in each.parameters() if p.requires_grad and p.grad is not None]))
    torch.testing.assert_close(*losses, atol=1e-6, rtol=1e-6)
    if "MAX_CLASSES" not in str(changes):  # the padding has no gradient at all in the plain form where none is missing
        torch.testing.assert_close(*norms, atol=1e-4, rtol=1e-2)
