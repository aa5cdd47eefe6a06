"""MLPs that a CPU computes for some rows at a time, in buffers that the next rows use again.

A hidden layer is several times as wide as its input. Computed at once, it leaves the cache, and the system has to give
it new memory, filled with zeros, for every call. Shapes: N rows, C channels, M hidden channels.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .layers import infers_on_cpu

__all__ = ["MLPInRows", "map_in_rows", "takes_rows"]

ROWS = (
    800  # rows at a time, on one or two threads; measured with 128 to 1024 channels: 200 are slower, as are all at once
)


def takes_rows(x: Tensor) -> bool:
    """Whether a CPU infers in float32: products write into given memory then, and no gradient needs what it held."""
    return infers_on_cpu(x) and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def rows_at_a_time() -> int:
    """``ROWS``, and more for more threads: each has a cache of its own, and a share of the rows of a product."""
    return ROWS // 2 * max(torch.get_num_threads(), 2)


def map_in_rows(
    x: Tensor, hidden: Callable[[Tensor, Tensor], Tensor], layers: int, width: int, out: nn.Linear
) -> Tensor:
    """``out(hidden(x))`` some rows at a time: (..., C) -> (..., the output channels of ``out``).

    Args:
        x: of a CPU, in float32; see ``takes_rows``.
        hidden: maps rows (n, C) and a buffer (layers, n, M) of any content to (n, M); it may write to the buffer.
        layers: the hidden layers that the buffer holds.
        width: M.
        out: the layer after the hidden ones.
    """
    rows = x.flatten(0, -2)
    result = rows.new_empty(len(rows), out.out_features)
    step = max(min(rows_at_a_time(), len(rows)), 1)
    buffer = rows.new_empty(layers, step, width)
    for part, target in zip(rows.split(step), result.split(step), strict=True):
        torch.addmm(out.bias, hidden(part, buffer[:, : len(part)]), out.weight.t(), out=target)
    return result.unflatten(0, x.shape[:-1])


def linear_into(buffer: Tensor, x: Tensor, layer: nn.Linear) -> Tensor:
    """``layer(x)`` in the memory of ``buffer``: (n, M), (n, C) -> (n, M)."""
    return torch.mm(x, layer.weight.t(), out=buffer).add_(layer.bias)


class MLPInRows(nn.Module):
    """``fc2(act(fc1(x)))``, the MLP of a ConvNeXt block; its parameters have the names of timm's.

    Args:
        fc1, fc2: the layers, (..., C) -> (..., M) -> (..., C).
        act: the activation between them.
    """

    def __init__(self, fc1: nn.Linear, act: nn.Module, fc2: nn.Linear):
        super().__init__()
        self.fc1 = fc1
        self.act = act
        self.fc2 = fc2

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        if not takes_rows(x):
            return self.fc2(self.act(self.fc1(x)))
        return map_in_rows(x, self._hidden, 1, self.fc1.out_features, self.fc2)

    def _hidden(self, x: Tensor, buffer: Tensor) -> Tensor:
        return self.act(linear_into(buffer[0], x, self.fc1))
