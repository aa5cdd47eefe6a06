"""Learned positions, and their resizing to the patches of an image (section 3).

Shapes: C the width of a token, h x w patches, g x g the grid of a table.
"""

from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ArgumentError

__all__ = ["LearnedPositions", "NoPositions", "resize_table"]


def resize_table(table: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a table of positions: (1 + g^2, C) and (h, w) -> (1 + h w, C). The row of the class token stays.

    The interpolation is bicubic (``align_corners=False``). It is separable, so that it is two products with small
    matrices.
    """
    side = round((len(table) - 1) ** 0.5)
    if (side, side) == tuple(size):
        return table
    grid = table[1:].unflatten(0, (side, side))
    rows, columns = (_weights(side, length, table) for length in size)  # (h, g), (w, g)
    grid = (rows @ grid.flatten(1)).unflatten(1, (side, -1))  # (h, g, C)
    grid = columns @ grid  # (h, w, C)
    return torch.cat([table[:1], grid.flatten(0, 1)])


def _weights(side: int, length: int, like: Tensor) -> Tensor:
    """The matrix (length, side) that resizes a signal of ``side`` values to ``length`` values."""
    unit = torch.eye(side, device=like.device)[None, None]  # each column is a signal
    resized = F.interpolate(unit, size=(length, side), mode="bicubic", align_corners=False)
    return resized[0, 0].to(like.dtype)


class LearnedPositions(nn.Module):
    """Learned tables, which are added to the tokens at the input and at the entry of some blocks.

    Args:
        width: C.
        grid: g, in patches.
        position_blocks: the blocks, counted from 0, at whose entry a table is added.
        depth: number of blocks of the tower.

    Raises:
        ArgumentError: the tower has no such block.
    """

    def __init__(self, width: int, grid: int, position_blocks: Collection[int], depth: int):
        super().__init__()
        for block in position_blocks:
            if not isinstance(block, int) or not 0 <= block < depth:
                raise ArgumentError(
                    "{position_blocks} = %s: the image tower has the blocks 0 to %s.", list(position_blocks), depth - 1
                )
        self.input = nn.Parameter(self._table(width, grid))
        self.blocks = nn.ParameterDict({str(block): self._table(width, grid) for block in sorted(set(position_blocks))})

    @staticmethod
    def _table(width: int, grid: int) -> Tensor:
        return torch.randn(1 + grid * grid, width) * width**-0.5

    def at_input(self, size: tuple[int, int]) -> Tensor | float:
        """What is added to the tokens (B, 1 + h w, C) before the first norm."""
        return resize_table(self.input, size)

    def enter(self, block: int, x: Tensor, size: tuple[int, int]) -> Tensor:
        """The tokens at the entry of a block: (B, 1 + h w, C) -> the same."""
        key = str(block)
        return x + resize_table(self.blocks[key], size).to(x.dtype) if key in self.blocks else x


class NoPositions(nn.Module):
    """No learned positions: CLIP's own alone."""

    def at_input(self, size: tuple[int, int]) -> Tensor | float:
        """See ``LearnedPositions.at_input``."""
        return 0.0

    def enter(self, block: int, x: Tensor, size: tuple[int, int]) -> Tensor:
        """See ``LearnedPositions.enter``."""
        return x
