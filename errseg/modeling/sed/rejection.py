"""Category early rejection: names that win nowhere leave before a stage (section 6). At test alone.

Shapes: T names that are still in, C channels, h x w locations.
"""

from collections.abc import Callable

from torch import Tensor, nn

from ...errors import ArgumentError
from .parts import over_names

__all__ = ["KeepAll", "Rejection"]


class Rejection(nn.Module):
    """Every location votes for its ``top_k`` best names; names without a vote leave. No parameters.

    Args:
        top_k: number of names that get the vote of a location.

    Raises:
        ArgumentError: ``top_k`` is less than 1.
    """

    def __init__(self, top_k: int = 8):
        super().__init__()
        if top_k < 1:
            raise ArgumentError("{top_k} = %s keeps no name; give 1 or more.", top_k)
        self.top_k = top_k

    def forward(self, kept: Tensor, x: Tensor, costs: Tensor, head: Callable) -> tuple[Tensor, Tensor, Tensor]:
        """Reject names.

        Args:
            kept: (T,) ids of the names of an image that are still in, ascending.
            x: (T, C, h, w), their maps.
            costs: (T, ., h, w), their cost guidance.
            head: an auxiliary head, (n, C, h, w) -> logits (n, 1, h, w).

        Returns:
            The three for the names that stay.
        """
        if len(kept) <= self.top_k:
            return kept, x, costs
        logits = over_names(head, x, elements=x[0].numel()).flatten(1)  # (T, h w)
        stay = logits.topk(self.top_k, dim=0).indices.unique()  # ascending
        return kept[stay], _rows(x, stay), _rows(costs, stay)


class KeepAll(nn.Module):
    """Every name stays."""

    def forward(self, kept: Tensor, x: Tensor, costs: Tensor, head: Callable) -> tuple[Tensor, Tensor, Tensor]:
        """See ``Rejection.forward``."""
        return kept, x, costs


def _rows(x: Tensor, rows: Tensor) -> Tensor:
    """Some rows of (T, C, h, w); the channels of a location stay contiguous in memory."""
    return x.movedim(1, -1)[rows].movedim(-1, 1) if len(rows) < len(x) else x
