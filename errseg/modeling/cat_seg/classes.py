"""Aggregation over classes (section 5): attention of the classes to each other, for each location separately.

Fewer classes than ``max_classes`` are padded with learned tokens. These are all equal, and their outputs are dropped:
so they are counted, not copied. Attention adds the sums of one of them, times their number.

Shapes: B images, K classes, L = g x g locations, C channels, G channels of the guidance, N sequences of classes, d = C
/ heads. The guidance is the same for every location: its share of queries and keys is computed once.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ArgumentError
from ..guidance import add_share
from ..layers import call, in_parts, resize
from ..linear_attention import attend_sums, key_value_sums
from .projections import Projections, joint_share, joint_weight

__all__ = ["ATTENTIONS", "ClassAggregation", "FullAttention", "LinearAttention"]


class LinearAttention(nn.Module):
    """Linear attention; its work grows linearly with K."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, padding: tuple[Tensor, Tensor] | None, count: int) -> Tensor:
        """Attention with ``count`` more keys and values, all equal to ``padding``.

        (N, heads, K, d) three times, (1, heads, 1, d) twice -> (N, heads, K, d).
        """
        values, keys = key_value_sums(k, v)
        if padding is not None:
            more_values, more_keys = key_value_sums(*padding)
            values, keys = values + count * more_values, keys + count * more_keys
        return attend_sums(q, values, keys)


class FullAttention(nn.Module):
    """Softmax attention; equal keys are one key whose score is larger by the logarithm of their number."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, padding: tuple[Tensor, Tensor] | None, count: int) -> Tensor:
        """As ``LinearAttention.forward``."""
        mask = None
        if padding is not None:
            k, v = (
                torch.cat([x, pad.expand(len(x), -1, -1, -1)], dim=2) for x, pad in zip((k, v), padding, strict=True)
            )
            mask = torch.cat([q.new_zeros(1, k.shape[2] - 1), q.new_full((1, 1), count).log()], dim=1)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


ATTENTIONS = {"linear": LinearAttention, "full": FullAttention}


class ClassAggregation(nn.Module):
    """Attention over classes and an MLP at every location, on the pooled map.

    Args:
        dim, guidance_dim, num_heads: see ``Projections``.
        grid: g.
        attention: "linear" or "full".
        pooling, pooling_test: rows and columns that are averaged before, in training and at test.
        max_classes: the number of classes to which fewer are padded; 0: there is no padding.
        run: calls the block in training: ``call``, or ``recompute`` to save memory.

    Raises:
        ArgumentError: there is no such attention; or the pooling leaves no location.
    """

    def __init__(
        self,
        dim: int,
        guidance_dim: int,
        num_heads: int,
        grid: int,
        attention: str = "linear",
        pooling: Sequence[int] = (2, 2),
        pooling_test: Sequence[int] = (1, 1),
        max_classes: int = 256,
        run: Callable = call,
    ):
        super().__init__()
        if attention not in ATTENTIONS:
            raise ArgumentError("{attention} = %r; give one of %s.", attention, ", ".join(ATTENTIONS))
        for name, sizes in (("pooling", pooling), ("pooling_test", pooling_test)):
            if len(sizes) != 2 or max(sizes) > grid:
                raise ArgumentError(f"{{{name}}} = %s; give two numbers up to the grid's %s.", list(sizes), grid)
        self.run = run
        self.grid = grid
        self.max_classes = max_classes
        self.pool = nn.AvgPool2d((pooling[0], pooling[1]))
        self.pool_test: nn.Module = nn.Identity()
        if max(pooling_test) > 1:
            self.pool_test = nn.AvgPool2d((pooling_test[0], pooling_test[1]))
        self.norm1 = nn.LayerNorm(dim)
        self.projections = Projections(dim, guidance_dim, num_heads)
        self.attention = ATTENTIONS[attention]()
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.ReLU(), nn.Linear(4 * dim, dim))
        self.padding_token = nn.Parameter(torch.zeros(1, 1, dim)) if max_classes else None
        self.padding_guidance = nn.Parameter(torch.zeros(1, 1, guidance_dim)) if max_classes and guidance_dim else None

    def forward(self, x: Tensor, image_guidance: Tensor | None, text_guidance: Tensor | None) -> Tensor:
        """(B, K, L, C) and text guidance (B or 1, K, G) -> (B, K, L, C). The image guidance is not used."""
        pool = self.pool if self.training else self.pool_test
        tokens, size = x, (self.grid, self.grid)
        if not isinstance(pool, nn.Identity):
            maps = pool(x.flatten(0, 1).mT.unflatten(2, size))
            tokens, size = maps.flatten(2).mT.unflatten(0, x.shape[:2]), (maps.shape[2], maps.shape[3])
        share = joint_share(self.projections, text_guidance)
        share = share.view(1, 1, 1, -1) if text_guidance is None else share.unsqueeze(1)  # (B or 1, 1, K, 3 C)
        sequences = tokens.transpose(1, 2).flatten(0, 1)  # (B L, K, C)
        count = torch.sym_max(self.max_classes - x.shape[1], 0)  # it may be a symbol while the model is exported
        fuse = partial(self.run, partial(self.fuse, count=count))
        fused = in_parts(fuse, sequences, share).unflatten(0, (x.shape[0], -1)).transpose(1, 2)
        if not isinstance(pool, nn.Identity):
            maps = resize(fused.flatten(0, 1).mT.unflatten(2, size), (self.grid, self.grid), align_corners=True)
            fused = maps.flatten(2).mT.unflatten(0, x.shape[:2])
        return x + fused

    def fuse(self, x: Tensor, share: Tensor, count: int) -> Tensor:
        """Attention and MLP for N sequences of classes, with ``count`` padding tokens: (N, K, C) -> (N, K, C)."""
        qkv = add_share(F.linear(self.norm1(x), joint_weight(self.projections)), share)
        attended = self.attention(*self.heads(qkv), self.padding(), count)
        x = x + attended.transpose(1, 2).flatten(2)
        return x + self.mlp(self.norm2(x))

    def heads(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, K, 3 C) -> queries, keys and values (N, heads, K, d)."""
        q, k, v = qkv.unflatten(-1, (3, self.projections.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def padding(self) -> tuple[Tensor, Tensor] | None:
        """The key and the value of a padding token, (1, heads, 1, d) each; None where classes are not padded."""
        if self.padding_token is None:
            return None
        token = F.linear(self.norm1(self.padding_token), joint_weight(self.projections))
        _, k, v = self.heads(token + joint_share(self.projections, self.padding_guidance))
        return k, v
