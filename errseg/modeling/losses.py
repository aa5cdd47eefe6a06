"""The training loss (section 6 of the model's contract; the paper says "cross-entropy").

Shapes: B images, T classes of the vocabulary, K classes kept, H x W pixels.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .layers import CACHED, resize


def dense_binary_cross_entropy(
    logits: Tensor, kept: Tensor, labels: Tensor, num_names: int, ignore_label: int, dropped: float = -100.0
) -> Tensor:
    """Binary cross-entropy of every pixel and class against one-hot targets, mean over all B T H W elements.

    Ignored pixels count, with an all-zero target. Only the K kept classes are computed. A class that was dropped has
    the logit -100. With the target 0 it would add log(1 + exp(-100)) = 4e-44: nothing. With the target 1, at a pixel of
    this class, it adds 100; CRM keeps the classes of the ground truth, so that this does not happen.

    Args:
        logits: (B, K, h, w), resized here to the labels.
        kept: (B, K) ids of the classes kept; -1: a slot without a class, whose logits are those of a dropped class.
        labels: (B, H, W) class ids, or ``ignore_label``.
        num_names: T.
        ignore_label: the id of pixels without a class.
        dropped: the logit of the classes that are not kept.

    Returns:
        A scalar.
    """
    logits = logits.float()
    slots = torch.full((len(kept), num_names + 2), -1, dtype=torch.long, device=kept.device)  # class id -> 0..K-1
    places = kept.masked_fill(kept < 0, num_names + 1)  # no label has this id
    slots.scatter_(1, places, torch.arange(kept.shape[1], device=kept.device).expand_as(kept))
    ids = labels.masked_fill(labels == ignore_label, num_names)
    slot = slots.gather(1, ids.flatten(1)).view_as(labels)
    if logits.requires_grad and logits.device.type == "cpu" and not torch.compiler.is_compiling():
        total = _SumInParts.apply(logits, slot)
    else:
        total = _sum_of(logits, slot, 0)
    total = total - dropped * ((slot < 0) & (ids < num_names)).sum()
    return total / (len(labels) * num_names * labels[0].numel())


def _sum_of(logits: Tensor, slot: Tensor, first: int) -> Tensor:
    """The sum of the loss over all pixels and some of the kept classes.

    Args:
        logits: (B, n, h, w).
        slot: (B, H, W), the place of a pixel's class among the kept ones.
        first: the place of the first of the n classes.
    """
    logits = resize(logits, slot.shape[-2:])
    places = torch.arange(first, first + logits.shape[1], device=logits.device)
    target = slot.unsqueeze(1) == places.view(1, -1, 1, 1)
    return F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="sum")


class _SumInParts(torch.autograd.Function):
    """``_sum_of`` for all kept classes, and its gradient, a few maps at a time.

    The logits at full size and their gradient are many times larger than the logits, and never stand in memory whole.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, slot: Tensor) -> Tensor:
        step = max(CACHED // slot[0].numel(), 1)
        gradient = torch.empty_like(logits)
        total = logits.new_zeros((), dtype=torch.float64)
        for image in range(len(logits)):
            of_image = slot[image : image + 1]
            for first in range(0, logits.shape[1], step):
                place = (slice(image, image + 1), slice(first, first + step))
                part = logits[place].detach().requires_grad_()
                with torch.enable_grad():
                    loss = _sum_of(part, of_image, first)
                (gradient[place],) = torch.autograd.grad(loss, part)
                total += loss.detach()
        ctx.save_for_backward(gradient)
        return total.to(logits.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return grad * gradient, None
