"""The loss of the kept classes is that of all classes."""

import pytest
import torch
import torch.nn.functional as F

from errseg.modeling import losses
from errseg.modeling.losses import dense_binary_cross_entropy


@pytest.mark.parametrize("cached", [losses.CACHED, 2 * 64, 1], ids=["whole", "two maps", "one map"])
def test_loss_and_gradient_are_those_of_the_dense_formula(cached, monkeypatch):
    """Also where the gradient is computed a few maps at a time."""
    monkeypatch.setattr(losses, "CACHED", cached)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, generator=generator)
    kept = torch.tensor([[0, 2, 5], [1, 2, 6]])
    labels = torch.tensor([0, 2, 5, 255])[torch.randint(0, 4, (2, 8, 8), generator=generator)]
    labels[1][labels[1] == 0], labels[1][labels[1] == 5] = 1, 6
    target = F.one_hot(labels.masked_fill(labels == 255, 7), 8)[..., :7].permute(0, 3, 1, 2).float()

    x = logits.clone().requires_grad_()
    dense = torch.full((2, 7, 4, 4), -100.0).scatter(1, kept[:, :, None, None].expand(-1, -1, 4, 4), x)
    dense = F.interpolate(dense, (8, 8), mode="bilinear", align_corners=False)
    expected = F.binary_cross_entropy_with_logits(dense, target)
    (gradient,) = torch.autograd.grad(3 * expected, x)

    torch.testing.assert_close(dense_binary_cross_entropy(logits, kept, labels, 7, 255), expected)
    y = logits.clone().requires_grad_()
    found = dense_binary_cross_entropy(y, kept, labels, 7, 255)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(3 * found, y)[0], gradient)
