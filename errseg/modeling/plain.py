"""What the plain forms of the systems share: how they are made, and how views are merged literally."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from .layers import copy_on_same_weights, resize
from .prediction import ViewPrediction

__all__ = ["merge", "plain_copy"]


def plain_copy(model: nn.Module, table: Mapping[type[nn.Module], type[nn.Module]]) -> nn.Module:
    """A copy of a model or module on the same parameters and buffers, with the classes of a table replaced."""
    plain = copy_on_same_weights(model)
    for module in plain.modules():
        module.__class__ = table.get(type(module), type(module))
    return plain


def merge(views: Sequence[ViewPrediction], size: tuple[int, int]) -> Tensor:
    """The scores of all names at full size, averaged where several views cover a pixel: -> (T, *size)."""
    if len(views) == 1:
        return resize(views[0].scores.unsqueeze(0), size).squeeze(0)
    total, covering = views[0].scores.new_zeros(len(views[0].scores), *size), views[0].scores.new_zeros(size)
    for view in views:
        (top, bottom), (left, right) = view.rows, view.cols
        if top < bottom and left < right:
            total[:, top:bottom, left:right] += resize(view.scores[None], (bottom - top, right - left))[0]
            covering[top:bottom, left:right] += 1
    return total / covering
