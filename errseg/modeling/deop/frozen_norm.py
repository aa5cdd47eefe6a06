"""Convolutions with a frozen batch norm, and how the norm is folded into the convolution.

A frozen norm is linear: ``norm(W x) = (s W) x + t`` with ``s = weight / sqrt(running_var + eps)`` and
``t = bias - s running_mean``. The convolution runs with ``s W`` and ``t``, so a norm costs nothing for each pixel.
"""

from collections.abc import Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.parameter import Parameter

from ..layers import copy_on_same_weights

__all__ = ["FrozenNorm", "FrozenNormConv2d", "with_folded_norms"]


class FrozenNorm(nn.Module):
    """A batch norm whose statistics and affine map are constants: four buffers, no parameters.

    Args:
        channels: C.
        eps: added to the variance.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels) - eps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        mean, var, weight, bias = (
            constant.view(-1, 1, 1) for constant in (self.running_mean, self.running_var, self.weight, self.bias)
        )
        return (x - mean) / (var + self.eps).sqrt() * weight + bias


class FrozenNormConv2d(nn.Conv2d):
    """A convolution without bias, followed by a frozen norm in its attribute ``norm``.

    The folded weight is computed in each call where gradients of the weight are kept, and while a program is traced.
    Elsewhere it is computed once and kept outside the module (``_FOLDED``). It is computed again when the weights or
    the norm have other values, another type or another device. A write to ``weight.data`` in evaluation mode is the one
    change that goes unnoticed; ``train`` and ``eval`` end that.

    Args:
        in_channels, out_channels, kernel_size, stride, dilation: as of ``nn.Conv2d``; the padding keeps the size.
    """

    norm: FrozenNorm

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, dilation: int = 1):
        padding = dilation * (kernel_size // 2)
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, bias=False)
        self.norm = FrozenNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)."""
        return self._conv_forward(x, *self.folded())

    def folded(self) -> tuple[Tensor, Tensor]:
        """The weight and the bias of the convolution with the norm in it."""
        norm = self.norm
        sources = (self.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var)
        if (torch.is_grad_enabled() and self.weight.requires_grad) or not _may_be_kept(sources):
            return self._fold()
        kept = _FOLDED.get(self)
        if kept is None or kept.states != _states(sources):
            with torch.inference_mode(False), torch.no_grad():  # a tensor of inference mode could not be used elsewhere
                folded = self._fold()
            kept = _Kept(tuple(source.detach() for source in sources), _states(sources), folded)
            _FOLDED[self] = kept
        return kept.folded

    def _fold(self) -> tuple[Tensor, Tensor]:
        norm, dtype = self.norm, self.weight.dtype
        scale = norm.weight.float() * (norm.running_var.float() + norm.eps).rsqrt()
        shift = norm.bias.float() - norm.running_mean.float() * scale
        weight = (self.weight.float() * scale.view(-1, 1, 1, 1)).to(dtype)
        return weight.contiguous(memory_format=torch.channels_last), shift.to(dtype)

    def train(self, mode: bool = True) -> "FrozenNormConv2d":
        """Like ``nn.Module.train``; a change of the mode drops the folded weight."""
        if mode != self.training:
            _FOLDED.pop(self, None)
        super().train(mode)
        return self

    def _apply(self, *arguments, **options) -> "FrozenNormConv2d":
        """The step in which ``to``, ``float``, ``cuda`` and others change tensors: frees the folded weight at once."""
        _FOLDED.pop(self, None)
        super()._apply(*arguments, **options)
        return self


class _Kept(NamedTuple):
    sources: tuple[Tensor, ...]  # kept, so that no other tensor gets their addresses
    states: list[tuple]
    folded: tuple[Tensor, Tensor]


# Not an attribute: copies, pickles and state dicts of a module do not hold it, and ``forward`` changes no module.
_FOLDED: WeakKeyDictionary[nn.Module, _Kept] = WeakKeyDictionary()


def _states(sources: Sequence[Tensor]) -> list[tuple]:
    """What changes when a tensor's values are written, moved or converted."""
    return [(source.data_ptr(), source._version, source.dtype, source.device) for source in sources]


def _may_be_kept(sources: Sequence[Tensor]) -> bool:
    """Whether these are ordinary tensors in an ordinary run: not traced, and their versions are counted."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    return all(type(source) in (Tensor, Parameter) and not source.is_inference() for source in sources)


def with_folded_norms(module: nn.Module) -> nn.Module:
    """A copy with plain convolutions in place of those with frozen norms: for exported programs.

    The parameters and buffers of all other modules are shared with ``module``.
    """
    copied = copy_on_same_weights(module)
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, FrozenNormConv2d):
                setattr(parent, name, _plain_convolution(child))
    return copied


def _plain_convolution(layer: FrozenNormConv2d) -> nn.Conv2d:
    with torch.no_grad():
        weight, bias = layer.folded()
    plain = nn.utils.skip_init(
        nn.Conv2d, layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding, layer.dilation
    )
    plain.weight, plain.bias = (nn.Parameter(values, requires_grad=False) for values in (weight, bias))
    return plain.train(layer.training)
