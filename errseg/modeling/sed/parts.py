"""Run a function on a few names or locations at a time, so that a CPU's cache and a GPU's memory hold what it makes.

Everything is run at once where gradients are kept and while compiling. Only rounding depends on the parts.

Shapes: N maps of single names, B images, T names, L locations, C channels.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..layers import CACHED

__all__ = ["over_locations", "over_names"]

ON_GPU = 1 << 26  # elements of a map that a GPU processes at a time: 256 MiB of float32


def over_names(function: Callable[..., Tensor], *maps: Tensor, elements: int) -> Tensor:
    """``function(*maps)`` for maps of single names, each of which it treats alone: (N, ...) each -> (N, ...).

    Args:
        function: maps (n, ...) to (n, ...).
        maps: (N, ...) each.
        elements: of the largest tensor that the function makes of one name.
    """
    if _at_once(maps[0]):
        return function(*maps)
    result = None
    for first, last in _parts(maps[0], elements):
        part = function(*(each[first:last] for each in maps))
        if last - first == len(maps[0]):
            return part
        if result is None:  # with the strides of the parts; a part of one name may have any first stride
            strides = (part[0].numel(), *part.stride()[1:])
            result = part.new_empty_strided((len(maps[0]), *part.shape[1:]), strides)
        result[first:last] = part
    assert result is not None
    return result


def over_locations(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``function`` of all names at each location, which it treats alone: (B, T, L, C) -> (B, T, L, C).

    Args:
        function: maps (n, T, C) to (n, T, C).
        x: (B, T, L, C).
    """
    batch, names, length, channels = x.shape
    parts = [] if _at_once(x) else list(_parts(x.movedim(2, 0), batch * names * channels))
    if len(parts) < 2:
        return function(x.movedim(1, 2).flatten(0, 1)).unflatten(0, (batch, length)).movedim(2, 1)
    result = torch.empty_like(x)
    for first, last in parts:
        part = function(x[:, :, first:last].movedim(1, 2).flatten(0, 1))
        result[:, :, first:last] = part.unflatten(0, (batch, -1)).movedim(2, 1)
    return result


def _at_once(x: Tensor) -> bool:
    """Whether there is one part only. While compiling, the number of maps may be unknown."""
    return torch.is_grad_enabled() or torch.compiler.is_compiling() or x.device.type == "meta"


def _parts(x: Tensor, elements: int) -> Iterator[tuple[int, int]]:
    """The first index of each part of (N, ...), and the last + 1."""
    count = len(x)
    step = max((CACHED if x.device.type == "cpu" else ON_GPU) // elements, 1)
    for first in range(0, count, step):
        yield first, min(first + step, count)
