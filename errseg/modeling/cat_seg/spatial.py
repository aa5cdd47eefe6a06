"""Aggregation over locations (section 5): for each class, two blocks of attention within windows of its map.

Shapes: N maps of single classes, L = g x g locations of the grid, C channels, n windows of m = w x w locations, G
channels of the guidance. The guidance is the same for every class: its share of queries and keys is computed once.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ArgumentError
from ..guidance import add_share
from ..layers import attend, call, in_parts
from .projections import Projections, joint_share, joint_weight

__all__ = ["MASKED", "SpatialAggregation", "WindowBlock", "window_mask", "window_order"]

MASKED = -100.0  # added to the attention between parts of a window that do not touch in the image


def window_order(grid: int, window: int, shift: int) -> Tensor:
    """The locations in the order of the windows, which begin ``shift`` rows and columns later: (L,) int64."""
    places = torch.arange(grid * grid).view(grid, grid).roll((-shift, -shift), (0, 1))
    count = grid // window
    return places.view(count, window, count, window).transpose(1, 2).flatten()


def window_mask(grid: int, window: int, shift: int) -> Tensor:
    """0 within each part of a shifted window, ``MASKED`` between parts that do not touch in the image: (n, m, m)."""
    edge = torch.arange(grid) - (grid - window)
    part = (edge >= 0).long() + (edge >= window - shift).long()  # of a row or column, after the shift
    parts = (3 * part.view(-1, 1) + part).flatten()
    parts = parts[window_order(grid, window, 0)].view(-1, window * window)
    same = parts.unsqueeze(1) == parts.unsqueeze(2)
    return torch.zeros(same.shape).masked_fill(~same, MASKED)


class WindowBlock(nn.Module):
    """A Swin block without position bias.

    Args:
        dim, guidance_dim, num_heads: see ``Projections``.
        grid: g.
        window: w; a divisor of g.
        shift: by how many rows and columns the windows are shifted.
    """

    order: Tensor
    inverse: Tensor
    attn_mask: Tensor | None

    def __init__(self, dim: int, guidance_dim: int, num_heads: int, grid: int, window: int, shift: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn: Any = Projections(dim, guidance_dim, num_heads)
        self.attn.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.grid, self.window, self.shift = grid, window, shift
        order = window_order(grid, window, shift)
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("inverse", order.argsort(), persistent=False)
        self.register_buffer("attn_mask", window_mask(grid, window, shift) if shift else None)

    def share(self, guidance: Tensor | None) -> Tensor:
        """The guidance's share of queries, keys and values, in the windows' order: (B, L, G) -> (B, 1, L, 3 C)."""
        share = joint_share(self.attn, guidance)
        return share.view(1, 1, 1, -1) if guidance is None else share[:, self.order].unsqueeze(1)

    def forward(self, x: Tensor, share: Tensor) -> Tensor:
        """(N, L, C) and the guidance's share (B, 1, L, 3 C) -> (N, L, C)."""
        x = x[:, self.order]
        qkv = add_share(F.linear(self.norm1(x), joint_weight(self.attn)), share)
        qkv = qkv.unflatten(1, (-1, self.window**2)).unflatten(-1, (3, self.attn.num_heads, -1))
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5)  # (N, n, heads, m, d)
        x = x + self.attn.proj(self.attend(q, k, v).transpose(2, 3).flatten(3).flatten(1, 2))
        x = x + self.mlp(self.norm2(x))
        return x[:, self.inverse]

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention within each window: (N, n, heads, m, d) three times -> (N, n, heads, m, d)."""
        if self.attn_mask is None:
            return attend(*(x.flatten(0, 1) for x in (q, k, v))).unflatten(0, q.shape[:2])
        masks = self.attn_mask.to(q.dtype)
        return torch.stack([attend(q[:, i], k[:, i], v[:, i], mask) for i, mask in enumerate(masks)], dim=1)


class SpatialAggregation(nn.Module):
    """Two window blocks, the second with shifted windows, on the map of each class.

    Args:
        dim, guidance_dim, num_heads, grid: see ``WindowBlock``.
        window: w; where it is g or more, there is one window, and no shift.
        run: calls the blocks in training: ``call``, or ``recompute`` to save memory.

    Raises:
        ArgumentError: the window does not divide the grid.
    """

    def __init__(self, dim: int, guidance_dim: int, num_heads: int, grid: int, window: int = 12, run: Callable = call):
        super().__init__()
        if window < grid and grid % window:
            raise ArgumentError(
                "{window} = %s does not divide the grid of %s x %s locations; give a divisor.", window, grid, grid
            )
        shift = window // 2 if window < grid else 0
        window = min(window, grid)
        self.run = run
        self.guidance_norm: nn.Module = nn.LayerNorm(guidance_dim) if guidance_dim else nn.Identity()
        self.blocks: Any = nn.ModuleList(
            WindowBlock(dim, guidance_dim, num_heads, grid, window, by) for by in (0, shift)
        )

    def forward(self, x: Tensor, image_guidance: Tensor | None, text_guidance: Tensor | None = None) -> Tensor:
        """(B, K, L, C) and the image guidance (B, L, G) -> (B, K, L, C). The text guidance is not used."""
        guidance = None if image_guidance is None else self.guidance_norm(image_guidance)
        shares = [block.share(guidance) for block in self.blocks]
        return in_parts(partial(self.run, self.aggregate), x.flatten(0, 1), *shares).unflatten(0, x.shape[:2])

    def aggregate(self, x: Tensor, *shares: Tensor) -> Tensor:
        """Both blocks, for N maps of single classes: (N, L, C) and the guidance's shares -> (N, L, C)."""
        for block, share in zip(self.blocks, shares, strict=True):
            x = block(x, share)
        return x
