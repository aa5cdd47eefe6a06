"""GUD: shapes, its guidance, and the ablations."""

import pytest
import torch

from errseg.modeling.err_seg.gud import GUD, HeadOnly

B, K, C, H, W = 2, 3, 16, 6, 4


def rand(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_gud_upsamples_four_times_under_guidance():
    maps = [rand(B, 10, H, W), rand(B, 8, 2 * H, 2 * W), rand(B, 6, 4 * H, 4 * W)]
    x = rand(B, K, H, W, 32)
    for options in (dict(), dict(guidance_os16=False), dict(kernel_size=5)):
        assert GUD(32, (10, 8, 6), **options)(x, maps).shape == (B, K, 4 * H, 4 * W)
    assert HeadOnly(32)(x, maps).shape == (B, K, H, W)
    gud = GUD(32, (10, 8, 6)).eval()
    changed = [m.clone() for m in maps]
    changed[2][0] += 1
    difference = (gud(x, changed) - gud(x, maps)).abs()
    assert difference[0].max() > 0 and difference[1].max() == 0


@pytest.mark.parametrize("stop", [True, False])
def test_guidance_trains_the_encoder_only_without_stop_gradient(stop):
    maps = [rand(B, 10, H, W), rand(B, 8, 2 * H, 2 * W), rand(B, 6, 4 * H, 4 * W)]
    for m in maps:
        m.requires_grad_()
    GUD(32, (10, 8, 6), stop_gradient=stop)(rand(B, K, H, W, 32), maps).sum().backward()
    assert all((m.grad is None) == stop for m in maps)


def test_even_kernel_is_an_error():
    with pytest.raises(ValueError, match="kernel_size = 4"):
        GUD(32, (10, 8, 6), kernel_size=4)
