"""HSM: shapes, and that it treats every class alone."""

import torch

from errseg.modeling.err_seg.hsm import HSM, SingleScale

B, K, C, H, W = 2, 3, 16, 6, 4


def rand(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_hsm_treats_every_class_alone():
    hsm, cost16, cost32 = HSM(C), rand(B, K, H, W), rand(B, K, H // 2, W // 2)
    x = hsm(cost16, cost32, (H, W))
    assert x.shape == (B, K, H, W, C)
    one = hsm(cost16[1:, 2:], cost32[1:, 2:], (H, W))
    torch.testing.assert_close(x[1:, 2:], one)
    assert SingleScale(C)(cost32, (H, W)).shape == x.shape
