"""Queries, keys and values of an input and a guidance: the guidance's share is computed apart, and only once.

Shapes: C channels, G channels of the guidance.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ArgumentError

__all__ = ["Projections", "joint_share", "joint_weight"]


class Projections(nn.Module):
    """The projections of an attention whose queries and keys see an input and a guidance.

    Args:
        dim: C.
        guidance_dim: G; 0 for no guidance.
        num_heads: number of heads; must divide C.

    Raises:
        ArgumentError: ``num_heads`` does not divide ``dim``.
    """

    def __init__(self, dim: int, guidance_dim: int, num_heads: int):
        super().__init__()
        if dim % num_heads:
            raise ArgumentError("{num_heads} = %s does not divide {dim} = %s; choose a divisor.", num_heads, dim)
        self.num_heads = num_heads
        self.q = nn.Linear(dim + guidance_dim, dim)
        self.k = nn.Linear(dim + guidance_dim, dim)
        self.v = nn.Linear(dim, dim)


def joint_weight(projections: Any) -> Tensor:
    """The weight of the input for queries, keys and values together: (3 C, C)."""
    width = projections.v.in_features
    return torch.cat([projections.q.weight[:, :width], projections.k.weight[:, :width], projections.v.weight])


def joint_share(projections: Any, guidance: Tensor | None) -> Tensor:
    """The guidance's share of queries, keys and values, with the biases: (..., G) -> (..., 3 C); None -> (3 C,)."""
    bias = torch.cat([projections.q.bias, projections.k.bias, projections.v.bias])
    if guidance is None:
        return bias
    width = projections.v.in_features
    weight = torch.cat([projections.q.weight[:, width:], projections.k.weight[:, width:]])
    return F.pad(F.linear(guidance, weight), (0, width)) + bias
