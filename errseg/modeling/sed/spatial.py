"""The spatial half of the feature aggregation module: a ConvNeXt block for the map of each name (section 5).

Shapes: N maps of single names, C channels, h x w locations.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ArgumentError
from ..layers import add_to, linear
from .parts import over_names

__all__ = ["ConvNeXtBlock", "LayerNorm"]

EPS = 1e-6  # of the block's LayerNorm; torch's default is 1e-5


class LayerNorm(nn.Module):
    """``nn.LayerNorm`` of another class: its weights decay, as they do in the release."""

    def __init__(self, dim: int, eps: float = EPS):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class ConvNeXtBlock(nn.Module):
    """x + gamma * MLP(LayerNorm(depth-wise convolution of x)).

    Args:
        dim: C.
        kernel_size: of the depth-wise convolution, odd.
        decay_norm: the LayerNorm's weights decay.

    Raises:
        ArgumentError: the kernel size is even.
    """

    def __init__(self, dim: int, kernel_size: int = 9, decay_norm: bool = True):
        super().__init__()
        if kernel_size % 2 == 0:
            raise ArgumentError("{kernel_sizes} has %s, which is even; give an odd size such as 9.", kernel_size)
        self.dwconv = nn.Conv2d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim)
        self.norm = LayerNorm(dim) if decay_norm else nn.LayerNorm(dim, EPS)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.pwconv2 = nn.Linear(4 * dim, dim)
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        return over_names(self.block, x, elements=x[0].numel())

    def block(self, x: Tensor) -> Tensor:
        """As ``forward``, all at once. Gamma is multiplied into the second layer's weights."""
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = F.gelu(linear(y, self.pwconv1.weight, self.pwconv1.bias))
        y = F.linear(y, self.gamma.unsqueeze(1) * self.pwconv2.weight, self.gamma * self.pwconv2.bias)
        return add_to(y.permute(0, 3, 1, 2), x)
