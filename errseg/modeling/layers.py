"""Layers and helpers that several systems share.

Shapes: N sequences, L tokens, C channels.
"""

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

CACHED = 1 << 19  # elements of a cost embedding that a CPU processes at a time: 2 MiB of float32


class StopGradient(nn.Module):
    """The identity in the forward pass; no gradient flows back."""

    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention: (N, heads, L, d), (N, heads, M, d) twice -> (N, heads, L, d).

    ``mask`` (N, 1, 1, M) bool is False for keys that nothing attends to; ``mask`` (L, M) of numbers is added to the
    attention logits.
    """
    if q.device.type == "cpu" and q.dtype != torch.float32 and not torch.is_grad_enabled():
        # Here the fused kernel is as slow in lower precisions as in float32; products and a softmax are faster
        weights = q * q.shape[-1] ** -0.5 @ k.mT
        if mask is not None:
            weights = weights.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else weights + mask
        return weights.softmax(-1) @ v
    return F.scaled_dot_product_attention(q, k, v, mask)


def relu6(x: Tensor, inplace: bool = False) -> Tensor:
    """``F.relu6`` that can be trained under ``torch.compile`` with any backend.

    If the gradient has other strides than x, the compiler expects other strides from hardtanh's backward pass than the
    CPU kernel returns, and the backend ``aot_eager`` fails. ``where`` has the same values and gradients.
    """
    if torch.compiler.is_compiling() and torch.is_grad_enabled():
        return torch.where((x > 0) & (x < 6), x, x.detach().clamp(0, 6))
    return F.relu6(x, inplace)


class ReLU6(nn.Module):
    """``relu6`` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        return relu6(x)


def in_parts(function: Callable[..., Tensor], x: Tensor, *shared: Tensor | None) -> Tensor:
    """``function(x, *shared)`` for independent sequences. On a CPU a few are processed at a time, to fit its cache.

    All sequences are processed at once where gradients are kept, on a GPU, and while compiling.

    Args:
        function: maps (n, ...) to (n, ...), each sequence independently.
        x: (N, ...) sequences; those of an image follow one another.
        shared: further arguments, (1, ...) for one image or (B, 1, ...) for B images. Each is the same for all
            sequences of an image, and no group of sequences crosses images.
    """
    if torch.is_grad_enabled() or x.device.type != "cpu" or torch.compiler.is_compiling():
        return function(x, *shared)
    batch = max((s.shape[0] for s in shared if s is not None), default=1)
    step = maps_in_cache(x)
    if batch == 1 and step >= len(x):
        return function(x, *shared)
    parts = []
    for image, sequences in enumerate(x.chunk(batch)):
        own = [None if s is None else s[image : image + 1] for s in shared]
        parts += [function(part, *own) for part in sequences.split(step)]
    return torch.cat(parts)


def maps_in_cache(x: Tensor) -> int:
    """How many of the maps or sequences (N, ...) a CPU processes at a time, to fit its cache; at least one."""
    return max(CACHED // x[0].numel(), 1)


def infers_on_cpu(x: Tensor) -> bool:
    """Whether a CPU computes x without gradients, and nothing is compiled or traced.

    Forms that are quicker there need not have a gradient, nor a counterpart in an exported file.
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    return x.device.type == "cpu"


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``F.linear``: (..., C), (o, C), (o,) -> (..., o). A CPU is slow to fill a wide output with the bias first."""
    if infers_on_cpu(x) and x.dtype == torch.float32 and weight.shape[0] > weight.shape[1]:
        return F.linear(x, weight).add_(bias)
    return F.linear(x, weight, bias)


def add_to(y: Tensor, x: Tensor) -> Tensor:
    """y + x, which takes the place of y where no gradient is kept."""
    return y + x if torch.is_grad_enabled() else y.add_(x)


def copy_on_same_weights(model: nn.Module) -> nn.Module:
    """A copy of a model's modules on the same parameters and buffers; the prompter, which never changes, is shared."""
    shared = (*model.parameters(), *model.buffers(), getattr(model, "prompter", None))
    return copy.deepcopy(model, {id(each): each for each in shared if each is not None})


def with_module(parent: nn.Module, name: str, module: nn.Module) -> Any:
    """A shallow copy of ``parent`` with one child replaced; everything else is shared."""
    other = copy.copy(parent)
    other._modules = {**parent._modules, name: module}
    return other


def match_gradient_strides(model: nn.Module) -> None:
    """Give the weights of convolutions and their gradients equal strides, in place. Values do not change.

    On channels-last maps, a convolution returns the gradient of a (C, 1, h, w) weight with stride 1 for the dimension
    of size 1; the gradient of a 1x1 convolution has other strides again. The memory layout is the same, but
    ``DistributedDataParallel`` compares strides and warns of a slow copy.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            of_channel, _, of_row, of_column = module.weight.stride()
            module.weight.data = module.weight.data.as_strided(module.weight.shape, (of_channel, 1, of_row, of_column))
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and module.weight.requires_grad:
            module.weight.register_hook(partial(_with_strides, module.weight.stride()))


def _with_strides(strides: tuple[int, ...], gradient: Tensor) -> Tensor:
    """A gradient with the strides of its parameter."""
    if gradient.stride() == strides:
        return gradient
    return gradient.new_empty_strided(gradient.shape, strides).copy_(gradient)


def call(function: Callable, *arguments):
    """``function(*arguments)``; its activations are kept for the backward pass."""
    return function(*arguments)


def recompute(function: Callable, *arguments):
    """``function(*arguments)``; its activations are computed again in the backward pass (gradient checkpointing)."""
    if not torch.is_grad_enabled():
        return function(*arguments)
    return checkpoint(function, *arguments, use_reentrant=False)


def resize(x: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """Resize the last two dimensions bilinearly; returns ``x`` itself if it has that size already.

    (N, C, h, w) -> (N, C, *size).
    """
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)


def without_autocast(device: torch.device) -> AbstractContextManager:
    """A context in which autocast is off (the meta device has no autocast)."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def row_positions(rows: tuple[int, int], height: int, source: int, device: torch.device) -> Tensor:
    """Where rows of a map lie before it is resized from ``source`` to ``height`` rows (align_corners=False)."""
    y = torch.arange(*rows, device=device, dtype=torch.float32)
    return ((y + 0.5) * (source / height) - 0.5).clamp(min=0)


def interpolated_rows(scores: Tensor, y: Tensor) -> Tensor:
    """Scores at positions between rows: (channels, h, w) and (rows,) -> (channels, rows, w)."""
    above = y.long().clamp(max=scores.shape[1] - 1)
    below = (above + 1).clamp(max=scores.shape[1] - 1)
    return torch.lerp(scores[:, above], scores[:, below], (y - above).view(-1, 1).to(scores.dtype))
