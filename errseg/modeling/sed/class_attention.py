"""The class half of the feature aggregation module: attention over the names at each location (section 5).

Shapes: B images, T names, C channels, h x w locations, L of them in a row, N sequences of names.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ArgumentError
from ..layers import add_to, attend, infers_on_cpu, linear, resize
from ..linear_attention import linear_attention, linear_attention_of_rows
from .parts import over_locations

__all__ = ["ATTENTIONS", "ClassAttention", "NoClassAttention"]

ATTENTIONS: dict[str, Callable[..., Tensor]] = {"linear": linear_attention, "softmax": attend}


class ClassAttention(nn.Module):
    """Average-pool, attend over names, MLP, resize back, add the input once more.

    Args:
        dim: C.
        attention: a key of ``ATTENTIONS``.
        pooling: side of the pooled squares in training; 1 for none.
        pooling_test: the same at test.
        num_heads: attention heads.

    Raises:
        ArgumentError: there is no such attention, or the heads do not divide C.
    """

    def __init__(
        self, dim: int, attention: str = "linear", pooling: int = 2, pooling_test: int = 1, num_heads: int = 4
    ):
        super().__init__()
        if attention not in ATTENTIONS:
            raise ArgumentError("{class_attention} = %r; give 'linear', 'softmax' or 'none'.", attention)
        if dim % num_heads:
            raise ArgumentError("{dim}: %s heads do not divide the %s channels of a stage.", num_heads, dim)
        self.attend = ATTENTIONS[attention]
        self.pooling = pooling
        self.pooling_test = pooling_test
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(dim)
        self.q, self.k, self.v = (nn.Linear(dim, dim) for _ in range(3))
        self.norm2 = nn.LayerNorm(dim)
        self.mlp: Any = nn.Sequential(nn.Linear(dim, 4 * dim), nn.ReLU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor, batch: int = 1, kept: Tensor | None = None) -> Tensor:
        """Let the names attend to each other.

        Args:
            x: (B T, C, h, w).
            batch: B.
            kept: (B, T) bool, True for names that are attended to; None: all are. Only an export gives it.

        Returns:
            (B T, C, h, w).
        """
        pooling = self.pooling if self.training else self.pooling_test
        if pooling == 1:
            return _at_locations(self.fuse_and_add, x, batch, kept)
        fused = _at_locations(self.fuse, F.avg_pool2d(x, pooling), batch, kept)
        return x + resize(fused, x.shape[-2:], align_corners=True)

    def fuse(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attention and MLP at N locations: (N, T, C), and ``mask`` (N, 1, 1, T) as in ``attend`` -> (N, T, C)."""
        z = self.norm1(x)
        layers = (self.q, self.k, self.v)
        weight, bias = torch.cat([each.weight for each in layers]), torch.cat([each.bias for each in layers])
        qkv = linear(z, weight, bias)
        if self.attend is linear_attention and infers_on_cpu(x) and mask is None:
            attended = linear_attention_of_rows(qkv, self.num_heads)
        else:
            q, k, v = qkv.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
            attended = self.attend(q, k, v, mask).transpose(1, 2).flatten(2)
        x = add_to(attended, x)
        hidden = F.relu_(linear(self.norm2(x), self.mlp[0].weight, self.mlp[0].bias))
        return add_to(self.mlp[2](hidden), x)

    def fuse_and_add(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """As ``fuse``, plus the input: all of the block, where nothing is pooled."""
        return add_to(self.fuse(x, mask), x)


class NoClassAttention(nn.Module):
    """Every name for itself (an ablation)."""

    def forward(self, x: Tensor, batch: int = 1, kept: Tensor | None = None) -> Tensor:
        """(B T, C, h, w) -> the same."""
        return x


def _at_locations(function: Callable[..., Tensor], x: Tensor, batch: int, kept: Tensor | None) -> Tensor:
    """Apply a function of (N, T, C) at every location: (B T, C, h, w) -> (B T, C, h, w).

    Where there is a ``kept`` (B, T), the function gets its (N, 1, 1, T), too.
    """
    tokens = x.permute(0, 2, 3, 1).unflatten(0, (batch, x.shape[0] // batch))  # (B, T, h, w, C)
    if kept is not None:
        function = partial(function, mask=kept.repeat_interleave(x.shape[2] * x.shape[3], 0)[:, None, None])
    fused = over_locations(function, tokens.flatten(2, 3)).unflatten(2, x.shape[-2:])
    return fused.flatten(0, 1).permute(0, 3, 1, 2)
