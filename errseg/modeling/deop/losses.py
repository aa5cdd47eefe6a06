"""The loss of the last stage: focal and dice loss of the classes' summed scores (section 7 of the contract).

Shapes: B images, N proposals, C classes, h x w the size of the masks, H x W that of the labels.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..layers import recompute, resize, without_autocast

__all__ = ["score_losses"]

LEAST = 1e-4  # the logarithm's probability is at least this, and at most one minus this
PART = {"cpu": 2**18, "cuda": 2**26}  # elements (classes times pixels) that are computed at a time


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
    ignored pixel is no-object, channel C. Computed in float32, image by image. Where the masks are frozen, as in the
    last stage, the gradient is computed with the losses, part by part, and no (C + 1, H, W) tensor is in memory.
    Otherwise the backward pass computes an image again, so that the tensors of one image alone are in memory at a time.

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
        if masks.requires_grad:
            losses = [recompute(_losses_of_image, *image, slope, alpha, gamma) for image in images]
        else:
            losses = [_LossesOfImage.apply(*image, slope, alpha, gamma) for image in images]
    focal, dice = torch.stack(losses).unbind(1)
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


class _LossesOfImage(torch.autograd.Function):
    """``_losses_of_image`` with its gradient for the probabilities, in one pass over parts of the pixels.

    The gradient of both losses is linear in sums over pixels: with ``p' = dp/do``, the focal loss needs
    ``sum_x dF/do maps(x)``, the dice loss ``sum_x p' maps(x)`` over all pixels and over those of the class. Each is a
    (C + 1, N) matrix.
    """

    @staticmethod
    def forward(
        ctx: Any, probabilities: Tensor, masks: Tensor, ids: Tensor, slope: float, alpha: float, gamma: float
    ) -> Tensor:
        maps = resize(masks.float().unsqueeze(0), ids.shape).sigmoid().flatten(2).squeeze(0)  # (N, H W)
        weights, targets = probabilities.mT.contiguous(), ids.flatten()  # (C + 1, N), (H W,)
        of_focal, of_all, of_shared = (torch.zeros_like(weights) for _ in range(3))
        sums = torch.zeros(4, dtype=torch.float64, device=maps.device)  # focal loss, p, shared p, pixels of a class
        pixels = max(1, PART.get(maps.device.type, PART["cpu"]) // len(weights))
        for part, target in zip(maps.split(pixels, 1), targets.split(pixels), strict=True):
            p = torch.addmm(weights.new_tensor(-slope), weights, part, alpha=slope).sigmoid_()
            q, target = 1 - p, target.view(1, -1)
            focal, gradient = _focal(p, q, 1 - alpha, gamma)  # of the channels that are not the target
            at_target, to_p = p.gather(0, target), q.gather(0, target)
            of_target, its_gradient = _focal(to_p, at_target, alpha, gamma)
            focal_sum = focal.sum() - focal.gather(0, target).sum() + of_target.sum()
            gradient.scatter_(0, target, -its_gradient)
            has_class = (target < len(p) - 1).to(p.dtype)
            sums += torch.stack([focal_sum, p[:-1].sum(), (at_target * has_class).sum(), has_class.sum()])
            of_focal.addmm_(gradient, part.mT, alpha=slope)
            of_all.addmm_(q.mul_(p), part.mT, alpha=slope)
            slopes = slope * at_target * to_p * has_class
            of_shared.index_add_(0, target.squeeze(0), (slopes * part).mT)
        focal_sum, total, shared, count = sums.to(maps.dtype)
        denominator = total + count + 1
        of_all[-1] = 0  # no-object does not count in the dice loss
        of_dice = (2 * shared + 1) / denominator**2 * of_all - 2 / denominator * of_shared
        ctx.save_for_backward(of_focal, of_dice)
        return torch.stack([focal_sum, 1 - (2 * shared + 1) / denominator])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (to_losses,), (of_focal, of_dice) = gradients, ctx.saved_tensors
        return ((to_losses[0] * of_focal + to_losses[1] * of_dice).mT, None, None, None, None, None)


def _focal(wrong: Tensor, right: Tensor, weight: float, gamma: float) -> tuple[Tensor, Tensor]:
    """The focal loss ``-weight wrong^gamma log(right)`` and its derivative by ``o / slope``, where ``wrong`` grows."""
    logarithm = right.clamp(LEAST, 1 - LEAST)
    inside = logarithm == right  # the clamped logarithm has no gradient
    power, logarithm = wrong**gamma, logarithm.log_()
    loss = power * logarithm * -weight
    gradient = (wrong * inside).sub_(gamma * right * logarithm).mul_(power).mul_(weight)
    return loss, gradient
