"""Parts of decoders that double the size of a map: a transposed 2x2 convolution of stride 2, then two 3x3 convolutions.

The transposed convolution and the 3x3 convolution of its output, with nothing between, are one convolution with 2x2
taps for each of the four positions that an input location becomes. Equally, they are one transposed convolution of
stride 2 with 4x4 taps. A CPU that predicts uses this form, which need not interleave the four positions.

Shapes: n maps, C, m and o channels, h x w locations.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .layers import infers_on_cpu

__all__ = ["double_conv", "merged_conv", "merged_weight", "norm_groups", "subpixel_conv", "subpixel_weight"]


def norm_groups(channels: int) -> int:
    """The number of groups of a group norm in the decoders of SED and CAT-Seg: 16 channels each, or one group."""
    return max(channels // 16, 1)


def double_conv(in_dim: int, out_dim: int) -> nn.Sequential:
    """Two 3x3 convolutions without bias, each with group norm and ReLU: (n, in_dim, h, w) -> (n, out_dim, h, w)."""
    layers: list[nn.Module] = []
    for width in (in_dim, out_dim):
        conv = nn.Conv2d(width, out_dim, kernel_size=3, padding=1, bias=False)
        layers += [conv, nn.GroupNorm(norm_groups(out_dim), out_dim), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def merged_weight(up: Tensor, conv: Tensor) -> Tensor:
    """The weight of a convolution that replaces a transposed convolution and the 3x3 convolution of its output.

    Args:
        up: (C, m, 2, 2), of the transposed convolution of stride 2.
        conv: (o, m, 3, 3), of the convolution with padding 1.

    Returns:
        For ``merged_conv``: (C, o, 4, 4) on a CPU that predicts, and else that of ``subpixel_weight``.
    """
    return transposed_weight(up, conv) if infers_on_cpu(up) else subpixel_weight(up, conv)


def merged_conv(x: Tensor, weight: Tensor) -> Tensor:
    """Upsample with a weight of ``merged_weight``: (n, C, h, w) -> (n, o, 2 h, 2 w)."""
    if weight.shape[-1] == 4:
        return F.conv_transpose2d(x, weight, stride=2, padding=1)
    return subpixel_conv(x, weight)


def transposed_weight(up: Tensor, conv: Tensor) -> Tensor:
    """The weight of a transposed 4x4 convolution of stride 2 and padding 1 that replaces the two of ``merged_weight``.

    Tap s of the input position j is the upsampled position 2 j + s. Tap k = -1, 0, 1 carries it to the output position
    2 j + s - k, which is tap s - k + 1 of the transposed convolution.
    """
    s, k, place = _axes(up, 2, 3, 4)
    taps = (place == s - (k - 1) + 1).to(up.dtype)  # (2, 3, 4): s, k + 1, s - k + 1
    return torch.einsum("omkl,cmuv,uka,vlb->coab", conv, up, taps, taps)


def subpixel_weight(up: Tensor, conv: Tensor) -> Tensor:
    """The weight of a 2x2 convolution that replaces a transposed convolution and the 3x3 convolution of its output.

    An output of phase p, at 2 i + p, sees the upsampled positions 2 i + p + k for k = -1, 0, 1. These are tap s of the
    input position j with 2 j + s = 2 i + p + k, so that phase p sees only the inputs i - 1 + p + a for a = 0, 1.

    Args:
        up: (C, m, 2, 2), of the transposed convolution of stride 2.
        conv: (o, m, 3, 3), of the convolution with padding 1.

    Returns:
        (4 o, C, 2, 2): o channels for each of the phases (0, 0), (0, 1), (1, 0), (1, 1).
    """
    phase, a, k, s = _axes(up, 2, 2, 3, 2)
    taps = (2 * (a - 1 + phase) + s == phase + k - 1).to(up.dtype)  # (2, 2, 3, 2): phase, a, k + 1, s
    both = torch.einsum("omkl,cmst->ockslt", conv, up)
    weight = torch.einsum("paks,qblt,ockslt->pqocab", taps, taps, both)
    return weight.flatten(0, 2)


def _axes(x: Tensor, *lengths: int) -> list[Tensor]:
    """The indices along each axis of an array, on the device of x.

    A constant that is compared from them takes few operations in an exported file; one that is filled in place, many.
    """
    return list(torch.meshgrid(*(torch.arange(length, device=x.device) for length in lengths), indexing="ij"))


def subpixel_conv(x: Tensor, weight: Tensor) -> Tensor:
    """Upsample with a weight of ``subpixel_weight``: (n, C, h, w) -> (n, o, 2 h, 2 w)."""
    height, width = x.shape[-2:]
    phases = F.conv2d(x, weight, padding=1).permute(0, 2, 3, 1).unflatten(-1, (2, 2, -1))  # (n, h + 1, w + 1, p, q, o)
    if phases.requires_grad:
        return _Interleave.apply(phases).permute(0, 3, 1, 2)
    rows = [
        torch.stack([phases[:, p : p + height, q : q + width, p, q] for q in (0, 1)], dim=3) for p in (0, 1)
    ]  # (n, h, w, q, o) each
    return torch.stack(rows, dim=2).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


class _Interleave(torch.autograd.Function):
    """The four phases side by side: (n, h + 1, w + 1, 2, 2, o) -> (n, 2 h, 2 w, o).

    Slices and stacks would do the same. But the gradient of each slice is a tensor of the size of all phases, mostly
    zeros; here the gradient is written once.
    """

    @staticmethod
    def forward(ctx: Any, phases: Tensor) -> Tensor:
        n, height, width, out_dim = len(phases), phases.shape[1] - 1, phases.shape[2] - 1, phases.shape[-1]
        out = phases.new_empty(n, 2 * height, 2 * width, out_dim)
        for p in (0, 1):
            for q in (0, 1):
                out[:, p::2, q::2] = phases[:, p : p + height, q : q + width, p, q]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        n, rows, columns, out_dim = grad.shape
        height, width = rows // 2, columns // 2
        phases = grad.new_empty(n, height + 1, width + 1, 2, 2, out_dim)
        for p in (0, 1):
            phases[:, 0 if p else -1, :, p] = 0  # the row and the column that no output shows
            phases[:, :, 0 if p else -1, :, p] = 0
            for q in (0, 1):
                phases[:, p : p + height, q : q + width, p, q] = grad[:, p::2, q::2]
        return phases
