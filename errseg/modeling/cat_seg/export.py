"""CAT-Seg for the export: without the text tower, and with a selection that takes any number of names.

Shapes: B images, T names, g x g locations.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ..layers import with_module
from .cost import Selection

__all__ = ["AnyNumberSelection", "exportable"]


class AnyNumberSelection(nn.Module):
    """Keeps the best classes for a number of names that is unknown at tracing; all where there are fewer."""

    def forward(self, cost: Tensor, most: int) -> Tensor:
        """(B, T, g, g) -> (B, min(most, T)) int64 ids, ascending."""
        order = cost.amax((2, 3)).sort(dim=1, descending=True, stable=True).indices
        place = order.argsort(dim=1)  # of a class, 0 for the best
        # Unlike a slice, topk is traced for T <= most and T > most at once
        best = place.topk(torch.sym_min(most, cost.shape[1]), dim=1, largest=False)
        return best.indices.sort(dim=1).values


class KeepAll(Selection):
    """Keeps every class of a number that is unknown at tracing: the model selects none."""

    def forward(self, cost: Tensor, most: int) -> None:
        """(B, T, g, g) -> None."""
        return None


def exportable(model: Any, open_vocabulary: bool) -> nn.Module:
    """A shallow copy of a CAT-Seg that can be traced. It shares the weights; the model itself does not change.

    Args:
        model: a CAT-Seg.
        open_vocabulary: the number of names is unknown when the model is traced.
    """
    clip = nn.Module()
    clip.visual = model.backbone.clip.visual
    other = with_module(model, "backbone", with_module(model.backbone, "clip", clip))
    if not open_vocabulary:
        return other
    selection = AnyNumberSelection() if model.sem_seg_head.max_classes else KeepAll()
    return with_module(other, "sem_seg_head", with_module(model.sem_seg_head, "selection", selection))
