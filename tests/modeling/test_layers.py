"""Layers that several modules share: what a compiler and wrappers for several processes rely on."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from errseg.modeling.layers import match_gradient_strides, relu6, resize


class TurnedGradient(nn.Module):
    """Its ``relu6`` gets a gradient whose strides are not those of its input."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(32, 32)

    def forward(self, x):
        x = relu6(self.linear(x)).unflatten(0, (2, 2)).permute(2, 3, 0, 1)  # (5, 32, 2, 2), channels last
        return F.interpolate(x, (4, 4), mode="bilinear", align_corners=True).square().sum()


def test_training_compiles_with_any_backend_where_strides_differ():
    torch.manual_seed(0)
    model, x = TurnedGradient(), torch.randn(4, 5, 32)
    model(x).backward()
    expected = [p.grad for p in model.parameters()]
    model.zero_grad()
    torch.compile(model, backend="aot_eager")(x).backward()
    torch.testing.assert_close([p.grad for p in model.parameters()], expected)


def test_relu6_compiled_is_relu6():
    x = torch.tensor([-torch.inf, -1, 0, 1e-30, 3, 6, 7, torch.inf, torch.nan], requires_grad=True)
    compiled = torch.compile(relu6, backend="aot_eager")(x)
    torch.testing.assert_close(compiled, F.relu6(x), atol=0, rtol=0, equal_nan=True)
    (gradient,) = torch.autograd.grad(compiled.sum(), x)
    (expected,) = torch.autograd.grad(F.relu6(x).sum(), x)
    assert torch.equal(gradient[:-1], expected[:-1])


@pytest.mark.parametrize("groups", [4, 1])
def test_depth_wise_weights_take_the_strides_of_their_gradients(groups):
    conv = nn.Conv2d(4, 4, 3, padding=1, groups=groups)
    before = conv.weight.detach().clone()
    match_gradient_strides(conv)
    assert torch.equal(conv.weight, before)
    conv(torch.randn(1, 4, 8, 8).contiguous(memory_format=torch.channels_last)).sum().backward()
    assert conv.weight.grad.stride() == conv.weight.stride()


def test_resize_leaves_the_right_size_alone():
    x = torch.rand(1, 1, 3, 3)
    assert resize(x, (3, 3)) is x and resize(x, (5, 7)).shape == (1, 1, 5, 7)
