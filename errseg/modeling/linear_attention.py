"""Linear attention: its work and memory grow linearly with the number of tokens.

Shapes: N sequences, L queries, M keys and values, d channels of a head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["attend_sums", "key_value_sums", "linear_attention", "linear_attention_of_rows"]

EPS = 1e-6
NARROW = 8  # channels of a head, up to which a CPU multiplies those of all heads sooner than it copies them


def linear_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """phi(q) (sum of phi(k) v^T) / (phi(q) (sum of phi(k)) + 1e-6) in every head, phi = elu + 1, not scaled.

    (N, heads, L, d), (N, heads, M, d) twice -> (N, heads, L, d). ``mask`` (N, 1, 1, M) bool is False for keys that
    nothing attends to.
    """
    return attend_sums(q, *key_value_sums(k, v, mask))


def key_value_sums(k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The two sums over keys that a query needs; those of parts of the keys may be added.

    (N, heads, M, d) twice, and ``mask`` as in ``linear_attention`` -> (N, heads, d, d), (N, heads, 1, d).
    """
    k = F.elu(k) + 1
    if mask is not None:
        k = k.masked_fill(~mask.mT, 0)
    return k.mT @ v, k.sum(-2, keepdim=True)


def attend_sums(q: Tensor, values: Tensor, keys: Tensor) -> Tensor:
    """Linear attention with the sums of ``key_value_sums``: (N, heads, L, d) -> (N, heads, L, d)."""
    return _attend(F.elu(q) + 1, values, keys)


def _attend(q: Tensor, values: Tensor, keys: Tensor) -> Tensor:
    """``attend_sums`` with phi(q)."""
    return q @ values / (q @ keys.mT + EPS)


def linear_attention_of_rows(qkv: Tensor, num_heads: int) -> Tensor:
    """``linear_attention`` of projections as a linear layer leaves them, for a prediction: (N, L, 3 C) -> (N, L, C).

    phi is computed in place, before heads are split, where a CPU finds long rows; so ``qkv`` changes. Narrow heads are
    not split at all: products are made of all channels, and those of channels of different heads become 0. That is
    ``num_heads`` times the multiplications, and no copy.
    """
    width = qkv.shape[-1] // 3
    F.elu_(qkv[..., : 2 * width]).add_(1)
    if width > NARROW * num_heads:
        q, k, v = qkv.unflatten(-1, (3, num_heads, -1)).permute(2, 0, 3, 1, 4)
        return _attend(q, k.mT @ v, k.sum(-2, keepdim=True)).transpose(1, 2).flatten(2)
    q, k, v = qkv.split(width, -1)
    head = torch.arange(width, device=qkv.device) // (width // num_heads)
    same = (head.unsqueeze(1) == head).to(qkv.dtype)
    values, keys = (k.mT @ v).mul_(same), k.sum(1).unsqueeze(-1) * same
    return (q @ values).div_((q @ keys).add_(EPS))
