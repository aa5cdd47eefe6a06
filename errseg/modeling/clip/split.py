"""Self-attention of CLIP with a weight of its own for each of queries, keys and values, so that some may be trained.

Shapes: N sequences, L tokens, C the width of a token.
"""

import torch
from torch import Tensor, nn

from ..layers import attend
from .build import CLIPModel

__all__ = ["SplitAttention", "split_attentions"]


class SplitAttention(nn.Module):
    """Multi-head self-attention on the weights of an ``nn.MultiheadAttention``, its input weight split into three.

    The parameters have the names of an ``nn.MultiheadAttention`` whose keys and values have widths of their own.

    Args:
        attention: the attention whose place it takes.
    """

    def __init__(self, attention: nn.MultiheadAttention):
        super().__init__()
        self.num_heads = attention.num_heads
        q, k, v = attention.in_proj_weight.detach().chunk(3)
        self.q_proj_weight = nn.Parameter(q.clone())
        self.k_proj_weight = nn.Parameter(k.clone())
        self.v_proj_weight = nn.Parameter(v.clone())
        self.in_proj_bias = attention.in_proj_bias
        self.out_proj = attention.out_proj

    @property
    def in_proj_weight(self) -> Tensor:
        """The weights of queries, keys and values: (3 C, C), as an ``nn.MultiheadAttention`` has them."""
        return torch.cat([self.q_proj_weight, self.k_proj_weight, self.v_proj_weight])

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
    ) -> tuple[Tensor, None]:
        """As open_clip's blocks call it: (N, L, C) three times, the same -> (N, L, C), no weights.

        ``attn_mask`` (L, L) is added to the attention logits.
        """
        qkv = nn.functional.linear(query, self.in_proj_weight, self.in_proj_bias)
        q, k, v = qkv.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        attended = attend(q, k, v, attn_mask)
        return self.out_proj(attended.transpose(1, 2).flatten(2)), None

    def values(self, u: Tensor) -> Tensor:
        """The output where each token attends to itself alone: (N, L, C) -> (N, L, C)."""
        bias = self.in_proj_bias[2 * len(self.v_proj_weight) :]
        return self.out_proj(nn.functional.linear(u, self.v_proj_weight, bias))


def split_attentions(clip: CLIPModel) -> CLIPModel:
    """Split the attention of every block of both towers, in place; the function that they compute is the same."""
    for tower in (clip.visual.transformer, clip.transformer):
        for block in tower.resblocks:
            block.attn = SplitAttention(block.attn)
    return clip
