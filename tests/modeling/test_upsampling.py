"""A transposed convolution and the convolution after it as one."""

import pytest
import torch
import torch.nn.functional as F

from errseg.modeling.upsampling import merged_conv, merged_weight, subpixel_conv, subpixel_weight


def rand(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 4)])
def test_a_transposed_convolution_and_a_convolution_are_one(height, width):
    """At the borders too, where the second one sees zeros in place of upsampled values."""
    x, up, conv = rand(2, 5, height, width), rand(5, 3, 2, 2), rand(4, 3, 3, 3)
    expected = F.conv2d(F.conv_transpose2d(x, up, stride=2), conv, padding=1)
    torch.testing.assert_close(subpixel_conv(x, subpixel_weight(up, conv)), expected, atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        weight = merged_weight(up, conv)
        assert weight.shape == (5, 4, 4, 4)  # of a transposed convolution; with gradients, of a convolution
        torch.testing.assert_close(merged_conv(x, weight), expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(merged_weight(up, conv), subpixel_weight(up, conv))


def test_the_gradient_of_the_merged_convolution():
    """In training, the phases are put together by an operation with a gradient of its own."""
    x, up, conv = (rand(*shape).requires_grad_() for shape in ((2, 5, 3, 4), (5, 3, 2, 2), (4, 3, 3, 3)))
    weights = rand(2, 4, 6, 8)
    expected = F.conv2d(F.conv_transpose2d(x, up, stride=2), conv, padding=1)
    grads = torch.autograd.grad((expected * weights).sum(), (x, up, conv))
    found = torch.autograd.grad((subpixel_conv(x, subpixel_weight(up, conv)) * weights).sum(), (x, up, conv))
    torch.testing.assert_close(found, grads, atol=1e-4, rtol=1e-4)
