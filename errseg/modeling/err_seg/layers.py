"""Layers that ERR-Seg's modules share.

Shapes: N sequences, L tokens, C channels.
"""

import math

from torch import Tensor, nn

from ...errors import ArgumentError
from ..layers import attend, in_parts, relu6


class Attention(nn.Module):
    """Multi-head attention; the inputs of queries and keys are the content and a guidance.

    It holds the projections. SFM and CFM compute queries, keys and values with them.

    Args:
        dim: C, the width of values and output.
        guided_dim: width of the queries' and keys' inputs.
        num_heads: number of heads; must divide C.

    Raises:
        ArgumentError: ``num_heads`` does not divide ``dim``.
    """

    def __init__(self, dim: int, guided_dim: int, num_heads: int):
        super().__init__()
        if dim % num_heads:
            raise ArgumentError("{num_heads} = %s does not divide {dim} = %s; choose a divisor.", num_heads, dim)
        self.num_heads = num_heads
        self.q = nn.Linear(guided_dim, dim)
        self.k = nn.Linear(guided_dim, dim)
        self.v = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        """Projected queries (N, L, C), keys and values (N, M, C) -> (N, L, C).

        ``mask`` (B, 1, M) bool is False for keys that nothing attends to, in all N / B sequences of an image.
        """
        if mask is not None:
            mask = mask.expand(-1, q.shape[0] // mask.shape[0], -1).flatten(0, 1)[:, None, None]  # (N, 1, 1, M)
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (q, k, v))
        return self.proj(attend(q, k, v, mask).transpose(1, 2).flatten(2))


class StarMLP(nn.Module):
    """``W3 (relu6(W1 x) * (W2 x))``: the star operation in place of an MLP's first layer (Eqs. 22-24)."""

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(dim, hidden_dim)
        self.fc3 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return in_parts(self._star, x)

    def _star(self, x: Tensor) -> Tensor:
        return self.fc3(relu6(self.fc1(x), inplace=True) * self.fc2(x))


class MLP(nn.Module):
    """``W3 relu6(W1 x)``: the MLP that Table IX compares with the star operation."""

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc3 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return self.fc3(relu6(self.fc1(x)))


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
