"""Linear attention: its work and memory grow linearly with the number of tokens.

Shapes: N sequences, L queries, M keys and values, d channels of a head.
"""

import torch.nn.functional as F
from torch import Tensor

__all__ = ["attend_sums", "key_value_sums", "linear_attention"]

EPS = 1e-6


def linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """phi(q) (sum of phi(k) v^T) / (phi(q) (sum of phi(k)) + 1e-6) in every head, phi = elu + 1, not scaled.

    (N, heads, L, d), (N, heads, M, d) twice -> (N, heads, L, d).
    """
    return attend_sums(q, *key_value_sums(k, v))


def key_value_sums(k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """The two sums over keys that a query needs; those of parts of the keys may be added.

    (N, heads, M, d) twice -> (N, heads, d, d), (N, heads, 1, d).
    """
    k = F.elu(k) + 1
    return k.mT @ v, k.sum(-2, keepdim=True)


def attend_sums(q: Tensor, values: Tensor, keys: Tensor) -> Tensor:
    """Linear attention with the sums of ``key_value_sums``: (N, heads, L, d) -> (N, heads, L, d)."""
    q = F.elu(q) + 1
    return q @ values / (q @ keys.mT + EPS)
