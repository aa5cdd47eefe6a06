"""The loss of the last stage against a literal computation."""

import pytest
import torch

from errseg.modeling.deop import losses as losses_module
from errseg.modeling.deop.losses import score_losses
from errseg.modeling.deop.plain import literal_losses

B, N, C = 3, 6, 4
OPTIONS = {"slope": 2.0, "alpha": 0.3, "gamma": 3.0, "ignore_label": 250}
DEFAULTS = {"slope": 3.0, "alpha": 0.25, "gamma": 2.0, "ignore_label": 255}


def inputs(scale=2.0, ignore_label=255, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(B, N, C + 1, generator=generator)
    masks = scale * torch.randn(B, N, 4, 5, generator=generator)
    labels = torch.randint(0, C, (B, 16, 20), generator=generator)
    labels[:, 3:6] = ignore_label
    labels[2, :, 8:] = ignore_label
    return logits.to(dtype).requires_grad_(), masks.to(dtype).requires_grad_(), labels


@pytest.mark.parametrize("scale", (0.5, 2.0, 40.0))  # at 40, probabilities are clamped
@pytest.mark.parametrize("options", (DEFAULTS, OPTIONS), ids=("defaults", "options"))
def test_values_and_gradients_are_the_formulas(scale, options):
    *x, labels = inputs(scale, options["ignore_label"], torch.float64)
    expected = literal_losses(*x, labels, **options)
    expected_gradients = torch.autograd.grad(expected[0] + 2 * expected[1], x)
    *y, _ = inputs(scale, options["ignore_label"])
    losses = score_losses(*y, labels, **options)
    for value, right in zip(losses, expected, strict=True):
        assert value.item() == pytest.approx(right.item(), rel=1e-5)
    for gradient, right in zip(torch.autograd.grad(losses[0] + 2 * losses[1], y), expected_gradients, strict=True):
        torch.testing.assert_close(gradient.double(), right, rtol=1e-4, atol=1e-5 * right.abs().max().item())


@pytest.mark.parametrize("scale", (0.5, 2.0, 40.0))
@pytest.mark.parametrize("options", (DEFAULTS, OPTIONS), ids=("defaults", "options"))
def test_frozen_masks_give_the_same_in_parts(scale, options, monkeypatch):
    monkeypatch.setitem(losses_module.PART, "cpu", 70 * (C + 1))  # 320 pixels in five parts
    logits, masks, labels = inputs(scale, options["ignore_label"], torch.float64)
    expected = literal_losses(logits, masks, labels, **options)
    (expected_gradient,) = torch.autograd.grad(expected[0] + 2 * expected[1], logits)
    logits, masks, _ = inputs(scale, options["ignore_label"])
    losses = score_losses(logits, masks.detach(), labels, **options)
    for value, right in zip(losses, expected, strict=True):
        assert value.item() == pytest.approx(right.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(losses[0] + 2 * losses[1], logits)
    torch.testing.assert_close(
        gradient.double(), expected_gradient, rtol=1e-4, atol=1e-5 * expected_gradient.abs().max().item()
    )


def test_the_defaults_are_those_of_the_contract():
    assert [x.item() for x in score_losses(*inputs())] == [x.item() for x in score_losses(*inputs(), **DEFAULTS)]


def test_an_image_counts_as_much_in_a_batch_as_alone():
    logits, masks, labels = inputs()
    alone = [score_losses(logits[i : i + 1], masks[i : i + 1], labels[i : i + 1]) for i in range(B)]
    for value, each in zip(score_losses(logits, masks, labels), zip(*alone, strict=True), strict=True):
        assert value.item() == pytest.approx(torch.stack(each).mean().item(), rel=1e-6)


def test_an_image_without_labels_has_no_shared_pixels():
    logits, masks, labels = inputs()
    _, dice = score_losses(logits, masks, torch.full_like(labels, 255))
    assert 0.9 < dice.item() < 1  # its probabilities are in the denominator


def test_the_result_is_float32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        lower = score_losses(*inputs())
    assert [x.item() for x in lower] == [x.item() for x in score_losses(*inputs())]
