"""A convolution with a large kernel as a product of spectra, for a prediction on a CPU.

A convolution is a product at each frequency of the discrete Fourier transforms of maps and kernels, which are padded
with zeros so that nothing wraps around. A 7x7 kernel on a map of 24 x 24 locations needs 49 x 576 multiply-adds for
each pair of channels, and its spectrum 4 x 480: a complex product is four real ones. Only rounding differs.

Shapes: N maps, C and o channels, h x w locations, k side of the kernel, f frequencies.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["conv_by_spectrum"]

AT_ONCE = 1 << 21  # numbers of the larger maps that are transformed at a time: 8 MiB


def conv_by_spectrum(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``F.conv2d(x, weight, bias, padding=k // 2)``, channels last: float32 (N, C, h, w) -> (N, o, h, w).

    Args:
        x: (N, C, h, w).
        weight: (o, C, k, k) with k odd.
        bias: (o,) or None.
    """
    height, width, kernel = *x.shape[-2:], weight.shape[-1]
    size = [fast_length(side + kernel - 1) for side in (height, width)]
    filters = spectrum_of(weight, size)
    inside = (..., slice(kernel // 2, kernel // 2 + height), slice(kernel // 2, kernel // 2 + width))
    result = x.new_empty(x.shape[0], height, width, weight.shape[0]).permute(0, 3, 1, 2)
    step = max(AT_ONCE // (max(weight.shape[:2]) * size[0] * size[1]), 1)
    for part, into in zip(x.split(step), result.split(step), strict=True):
        spectrum = torch.fft.rfft2(part, s=size)  # (n, C, fh, fw)
        frequencies = spectrum.shape[-2:]
        pairs = torch.view_as_real(spectrum.flatten(2).permute(2, 0, 1)).transpose(2, 3).flatten(2)  # (f, n, 2 C)
        real, imaginary = (pairs @ filters).unflatten(2, (2, -1)).permute(2, 1, 3, 0)  # (n, o, f) each
        y = torch.complex(real, imaginary).unflatten(2, frequencies)
        into.copy_(torch.fft.irfft2(y, s=size)[inside])
    return result if bias is None else result.add_(bias.view(-1, 1, 1))


def spectrum_of(weight: Tensor, size: Sequence[int]) -> Tensor:
    """The complex factors of a convolution's kernels as real matrices.

    Args:
        weight: (o, C, k, k).
        size: rows and columns of the padded maps.

    Returns:
        (f, 2 C, 2 o): from real parts, then imaginary parts, of C channels to those of o channels.
    """
    out_dim, channels, kernel, _ = weight.shape
    taps = torch.eye(kernel**2).view(-1, kernel, kernel).flip(-1, -2)
    waves = torch.fft.rfft2(taps, s=list(size)).flatten(1).T  # (f, k k), of each tap
    taps_first = weight.permute(2, 3, 1, 0).flatten(2).flatten(0, 1)  # (k k, C o)
    real, imaginary = (part @ taps_first for part in (waves.real.contiguous(), waves.imag.contiguous()))
    filters = weight.new_empty(len(real), 2, channels, 2, out_dim)
    for place, part in zip(((0, 0), (1, 1), (0, 1)), (real, real, imaginary), strict=True):
        filters[:, place[0], :, place[1]] = part.view(-1, channels, out_dim)
    torch.neg(filters[:, 0, :, 1], out=filters[:, 1, :, 0])
    return filters.flatten(3).flatten(1, 2)


def fast_length(least: int) -> int:
    """The smallest length of ``least`` or more whose prime factors are 2, 3 and 5."""
    length = least
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1
