"""Compute the attention weights of SFM and CFM from a layer's input; the fused kernels of the model do not return them.

Shapes: N maps of single classes, K classes, C channels, H x W locations, M keys, d = C / heads.
"""

import math

import torch
from torch import Tensor

from ..guidance import guidance_share, with_share
from .escf import CFM, SFM, SSR
from .layers import Attention

__all__ = ["attention_weights", "class_weights", "spatial_weights"]

BLOCK = 1 << 24  # weights that are in memory at once: 64 MiB


def attention_weights(attention: Attention, q: Tensor, k: Tensor) -> Tensor:
    """The attention weights: projected queries (N, L, C), keys (N, M, C) -> (N, heads, L, M) float32, rows sum to 1."""
    q, k = (x.float().unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for x in (q, k))
    return (q * q.shape[-1] ** -0.5 @ k.mT).softmax(-1)


def spatial_weights(sfm: SFM, x: Tensor, image_guidance: Tensor, query: int | None) -> tuple[Tensor, int]:
    """SFM's attention over locations.

    Args:
        sfm: the module.
        x: (N, H, W, C), its input: maps of single classes.
        image_guidance: (1, H, W, C).
        query: the index of a location, row by row; None for all locations.

    Returns:
        (N, heads, h, w), or (N, heads, H W, h, w) for all locations; and the reduction: the number of locations that a
        cell of h x w covers in each direction.
    """
    reduction = sfm.reduce_k.conv.stride[0] if isinstance(sfm.reduce_k, SSR) else 1
    z = sfm.norm1(x)
    q_share = guidance_share(sfm.attention.q, image_guidance.flatten(1, 2)).unsqueeze(1)
    q = with_share(sfm.attention.q, z.flatten(1, 2), q_share)
    k = sfm.reduce_k(sfm.attention.k, z, sfm.reduce_k.share(sfm.attention.k, image_guidance))
    weights = attention_weights(sfm.attention, q if query is None else q[:, query : query + 1], k)
    weights = weights.unflatten(-1, (x.shape[1] // reduction, x.shape[2] // reduction))
    return (weights if query is None else weights.squeeze(2)), reduction


def class_weights(cfm: CFM, x: Tensor, text_guidance: Tensor, query: int) -> tuple[Tensor, Tensor]:
    """CFM's attention over classes.

    Args:
        cfm: the module.
        x: (1, K, H, W, C), its input, after CSR's pooling.
        text_guidance: (1, K, C).
        query: the index of a location, row by row.

    Returns:
        The mean over all locations, and the attention at ``query``: (heads, K, K) each.
    """
    tokens = x[0].flatten(1, 2).transpose(0, 1)  # (H W, K, C)
    shares = [guidance_share(layer, text_guidance).unsqueeze(1) for layer in (cfm.attention.q, cfm.attention.k)]
    shape = (cfm.attention.num_heads, tokens.shape[1], tokens.shape[1])
    step = max(BLOCK // math.prod(shape), 1)
    total, at_query = tokens.new_zeros(shape, dtype=torch.float64), []
    for start in range(0, len(tokens), step):
        weights = token_weights(cfm, tokens[start : start + step], *shares)
        if start <= query < start + step:
            at_query.append(weights[query - start].clone())
        total += weights.sum(0, dtype=torch.float64)
    return (total / len(tokens)).float(), at_query[0]


def token_weights(cfm: CFM, tokens: Tensor, q_share: Tensor, k_share: Tensor) -> Tensor:
    """CFM's attention at N locations: (N, K, C) and the guidance shares (1, 1, K, C) -> (N, heads, K, K)."""
    z = cfm.norm1(tokens)
    q, k = with_share(cfm.attention.q, z, q_share), with_share(cfm.attention.k, z, k_share)
    return attention_weights(cfm.attention, q, k)
