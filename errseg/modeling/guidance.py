"""The guidance's share of a layer's output, computed once for all sequences that it guides.

A linear layer or convolution of a concatenation ``[x ; guidance]`` is a sum: a layer of x plus a layer of the guidance.
The guidance is the same for every class of an image, or for every location. ``guidance_share`` computes its summand
once, and ``with_share`` adds the summand of x.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from .layers import infers_on_cpu

Layer = nn.Linear | nn.Conv2d


def guidance_share(layer: Layer, guidance: Tensor) -> Tensor:
    """The guidance's summand of ``layer([x ; guidance])``, with the bias.

    Args:
        layer: an ``nn.Linear`` ((..., G) -> (..., C)) or ``nn.Conv2d`` ((N, G, h, w) -> (N, C, h', w')).
        guidance: the last G input channels of the layer.
    """
    width = guidance.shape[_channels(layer)]
    return _apply(layer, guidance, layer.weight[:, -width:], layer.bias)


def with_share(layer: Layer, x: Tensor, share: Tensor | None) -> Tensor:
    """``layer([x ; guidance])``, from x and the guidance's share; where the share is None, ``layer(x)``.

    Args:
        layer: see ``guidance_share``.
        x: the first input channels of the layer, (N, ...).
        share: (B, 1, ...), the result of ``guidance_share``. It is added to the output for x, seen as (B, N / B, ...).
    """
    if share is None:
        return layer(x)
    return add_share(_apply(layer, x, layer.weight[:, : x.shape[_channels(layer)]], None), share)


def add_share(y: Tensor, share: Tensor) -> Tensor:
    """Add a share (B, 1, ...) to y (N, ...), seen as (B, N / B, ...); y may be changed."""
    if infers_on_cpu(y) and share.shape[0] == 1:  # a view of one map would lose its layout (channels last)
        return y.add_(share.squeeze(0))
    return y.unflatten(0, (share.shape[0], -1)).add_(share).flatten(0, 1)


def _channels(layer: Layer) -> int:
    return 1 if isinstance(layer, nn.Conv2d) else -1


def _apply(layer: Layer, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if isinstance(layer, nn.Conv2d):
        return F.conv2d(x, weight, bias, layer.stride, layer.padding)
    return F.linear(x, weight, bias)
