"""Patch severance: attention that keeps the patches of a region from disturbing other regions (section 3).

A module of this file takes the place of the attention in a block of CLIP's image tower, on the block's own weights.

Shapes: B images, L tokens, the class token first unless it is cut off, N masks, C the width of a token.
"""

from collections.abc import Collection

import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ArgumentError
from ..layers import attend, resize, without_autocast

__all__ = ["MODES", "Guided", "Masked", "Plain", "SelfAttention", "attentions", "regions_of", "values"]


def regions_of(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """The probabilities of the masks at every token: logits (B, N, H', W') and (h, w) -> (B, 1 + h w, N).

    The logits are resized before the sigmoid. The class token is in all masks.
    """
    at_patches = resize(masks.float(), size).sigmoid().flatten(2).transpose(1, 2)
    return F.pad(at_patches, (0, 0, 1, 0), value=1.0)


class SelfAttention(nn.Module):
    """CLIP's own multi-head attention: a block without patch severance."""

    pointwise = False  # whether a token's output depends on this token alone

    def forward(self, attention: nn.MultiheadAttention, u: Tensor, regions: Tensor) -> Tensor:
        """The attention of a block.

        Args:
            attention: the block's attention, whose weights are used.
            u: (B, L, C) tokens after the block's first norm.
            regions: (B, L, N) probabilities of the masks.

        Returns:
            (B, L, C).
        """
        qkv = F.linear(u, attention.in_proj_weight, attention.in_proj_bias)
        q, k, v = qkv.unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return attention.out_proj(attend(q, k, v).transpose(1, 2).flatten(2))


class Plain(SelfAttention):
    """Each token attends to itself alone ("GPS"): W_o v_i + b_o."""

    pointwise = True

    def forward(self, attention: nn.MultiheadAttention, u: Tensor, regions: Tensor) -> Tensor:
        """See ``SelfAttention.forward``."""
        return attention.out_proj(values(attention, u))


class Masked(SelfAttention):
    """Each token attends to itself once for each mask: W_o (s_i v_i) + b_o, where s_i sums the masks at token i."""

    pointwise = True

    def forward(self, attention: nn.MultiheadAttention, u: Tensor, regions: Tensor) -> Tensor:
        """See ``SelfAttention.forward``."""
        v = values(attention, u)
        return attention.out_proj(v * regions.sum(-1, keepdim=True).to(v.dtype))


class Guided(SelfAttention):
    """Tokens attend to the tokens of the same masks ("MPS"): softmax_j(m_i . m_j), the same for all heads."""

    def forward(self, attention: nn.MultiheadAttention, u: Tensor, regions: Tensor) -> Tensor:
        """See ``SelfAttention.forward``."""
        v = values(attention, u)
        with without_autocast(u.device):  # the products go up to N, and the softmax sees their differences
            weights = (regions @ regions.mT).softmax(-1).to(v.dtype)  # (B, L, L)
        return attention.out_proj(weights @ v)


def values(attention: nn.MultiheadAttention, u: Tensor) -> Tensor:
    """The values of tokens: (B, L, C) -> (B, L, C). Queries and keys are not computed."""
    width = u.shape[-1]
    return F.linear(u, attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :])


MODES = {"masked": Masked, "plain": Plain, "guided": Guided, "none": SelfAttention}


def attentions(mode: str, blocks: Collection[int], depth: int) -> nn.ModuleList:
    """The attention of each block of a tower.

    Args:
        mode: a key of ``MODES``, for the severed blocks.
        blocks: the severed blocks, counted from 0.
        depth: number of blocks.

    Raises:
        ArgumentError: there is no such mode or block.
    """
    if mode not in MODES:
        raise ArgumentError("{mode} = %r; give one of %s.", mode, ", ".join(MODES))
    for block in blocks:
        if not isinstance(block, int) or not 0 <= block < depth:
            raise ArgumentError("{blocks} = %s: the image tower has the blocks 0 to %s.", list(blocks), depth - 1)
    severed = MODES[mode]
    return nn.ModuleList(severed() if i in blocks else SelfAttention() for i in range(depth))
