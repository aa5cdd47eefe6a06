"""The layers that ERR-Seg's modules share."""

import pytest
import torch

from errseg.modeling.err_seg.layers import MLP, Attention, StarMLP

B, K, C, H, W = 2, 3, 16, 6, 4


def rand(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_star_operation():
    mlp, x = StarMLP(C, 3 * C), rand(5, C)
    torch.testing.assert_close(mlp(x), mlp.fc3(mlp.fc1(x).clamp(0, 6) * mlp.fc2(x)))
    assert MLP(C, 3 * C)(x).shape == x.shape


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="num_heads = 5"):
        Attention(16, 32, 5)
