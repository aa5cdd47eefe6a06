"""The loss of the last stage: focal and dice loss of the classes' summed scores (section 7 of the contract).

Shapes: B images, N proposals, C classes, h x w the size of the masks, H x W that of the labels.
"""

import torch
from torch import Tensor

from ..layers import recompute, resize, without_autocast

__all__ = ["score_losses"]

LEAST = 1e-4  # the logarithm's probability is at least this, and at most one minus this


def score_losses(
    logits: Tensor,
    masks: Tensor,
    labels: Tensor,
    slope: float = 3.0,
    alpha: float = 0.25,
    gamma: float = 2.0,
    ignore_label: int = 255,
) -> tuple[Tensor, Tensor]:
    """Focal and dice loss of ``p = sigmoid(slope * o - slope)``, where o are the summed scores of each class.

    A score is ``o_c(x) = sum_n softmax(logits_n)_c * sigmoid(M_n(x))``. The target is the pixel's class; that of an
    ignored pixel is no-object, channel C. Computed in float32, image by image; the backward pass computes an image
    again, so that the (C + 1, H, W) tensors of one image alone are in memory at a time.

    Args:
        logits: (B, N, C + 1) class logits of the proposals, no-object last.
        masks: (B, N, h, w) mask logits, resized here to the labels before the sigmoid.
        labels: (B, H, W) class ids or ``ignore_label``.
        slope: of the sigmoid.
        alpha: weight of the target channel in the focal loss; the other channels have ``1 - alpha``.
        gamma: exponent of the focal loss.
        ignore_label: the label of pixels without a class.

    Returns:
        The unweighted scalars: the focal loss, mean of all elements of the C + 1 channels, and the dice loss of the
        classes 0 to C - 1, mean of the images.
    """
    num_channels = logits.shape[-1]
    ids = labels.masked_fill(labels == ignore_label, num_channels - 1)
    with without_autocast(logits.device):
        probabilities = logits.float().softmax(-1)
        images = zip(probabilities, masks, ids, strict=True)
        losses = torch.stack([recompute(_losses_of_image, *image, slope, alpha, gamma) for image in images])
    focal, dice = losses.unbind(1)
    return focal.sum() / (ids.numel() * num_channels), dice.mean()


def _losses_of_image(
    probabilities: Tensor, masks: Tensor, ids: Tensor, slope: float, alpha: float, gamma: float
) -> Tensor:
    """(N, C + 1), (N, h, w) and (H, W) -> (2,), the sum of the focal loss and the dice loss of one image."""
    maps = resize(masks.float().unsqueeze(0), ids.shape).sigmoid().flatten(2).squeeze(0)  # (N, H W)
    p = (slope * (probabilities.mT @ maps) - slope).sigmoid()  # (C + 1, H W)
    target = ids.reshape(1, -1)
    at_target = p.gather(0, target)
    wrong = p.scatter(0, target, 1 - at_target)  # the probability of the wrong answer, of every channel and pixel
    focal = -(wrong**gamma) * (1 - wrong).clamp(LEAST, 1 - LEAST).log()
    focal_sum = (1 - alpha) * focal.sum() + (2 * alpha - 1) * focal.gather(0, target).sum()
    has_class = target < len(p) - 1
    shared = (at_target * has_class).sum()
    dice = 1 - (2 * shared + 1) / (p[:-1].sum() + has_class.sum() + 1)
    return torch.stack([focal_sum, dice])
