"""The training loss (section 6 of the model's contract; the paper says "cross-entropy").

Shapes: B images, T classes of the vocabulary, K classes kept, H x W pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers import resize


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
    logits = resize(logits.float(), labels.shape[-2:])
    slots = torch.full((len(kept), num_names + 2), -1, dtype=torch.long, device=kept.device)  # class id -> 0..K-1
    places = kept.masked_fill(kept < 0, num_names + 1)  # no label has this id
    slots.scatter_(1, places, torch.arange(kept.shape[1], device=kept.device).expand_as(kept))
    ids = labels.masked_fill(labels == ignore_label, num_names)
    slot = slots.gather(1, ids.flatten(1)).view_as(labels)
    target = slot.unsqueeze(1) == torch.arange(kept.shape[1], device=kept.device).view(1, -1, 1, 1)
    total = F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="sum")
    total = total - dropped * ((slot < 0) & (ids < num_names)).sum()
    return total / (len(labels) * num_names * labels[0].numel())
