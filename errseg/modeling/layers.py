"""Layers that several modules of the paper share.

Shapes: N sequences, L tokens, C channels.
"""

import math
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError


class StopGradient(nn.Module):
    """The identity, through which no gradient flows back."""

    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


class Attention(nn.Module):
    """Multi-head attention whose queries and keys see a guidance beside the content.

    Args:
        dim: C, the width of values and output.
        guided_dim: width of the queries' and keys' inputs.
        num_heads: heads; must divide C.
    """

    def __init__(self, dim: int, guided_dim: int, num_heads: int):
        super().__init__()
        if dim % num_heads:
            raise UsageError(
                f"MODEL.ESCF.NUM_HEADS = {num_heads} does not divide MODEL.ESCF.DIM = {dim}; choose a divisor."
            )
        self.num_heads = num_heads
        self.q = nn.Linear(guided_dim, dim)
        self.k = nn.Linear(guided_dim, dim)
        self.v = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(N, L, guided), (N, M, guided), (N, M, C) -> (N, L, C)."""
        q, k, v = (self._split(layer(x)) for layer, x in ((self.q, query), (self.k, key), (self.v, value)))
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """(N, L, C) -> (N, heads, L, C / heads)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class StarMLP(nn.Module):
    """``W3 (relu6(W1 x) * (W2 x))``: the star operation in place of an MLP's first layer (Eqs. 22-24)."""

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(dim, hidden_dim)
        self.fc3 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return self.fc3(F.relu6(self.fc1(x)) * self.fc2(x))


class PlainMLP(nn.Module):
    """``W3 relu6(W1 x)``: what the star operation is compared with in Table IX."""

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc3 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return self.fc3(F.relu6(self.fc1(x)))


def resize(x: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Bilinear resizing of the last two dimensions; ``x`` itself where it has that size already.

    (N, C, h, w) -> (N, C, *size).
    """
    if x.shape[-2:] == torch.Size(size):
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)


def without_autocast(device: torch.device) -> AbstractContextManager:
    """A context in which autocast lowers no precision (on devices that have autocast at all)."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def init_transformer_weights(module: nn.Module) -> None:
    """Initialise one module of a transformer block; for ``nn.Module.apply``.

    Linear layers: truncated normal of deviation 0.02; convolutions: normal of fan-out; norms: identity; biases: zero.
    """
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
