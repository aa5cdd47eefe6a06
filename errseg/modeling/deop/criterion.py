"""The loss of stage 2: masks and classes of matched proposals, in every decoder layer (section 8 of the contract).

Shapes: B images, N proposals, C classes, h x w the size of the masks, H x W that of the labels; an image has G
ground-truth masks, one for each class that its labels hold.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from detectron2.utils import comm
from torch import Tensor

from ..layers import recompute, resize, without_autocast
from .matcher import Matcher

__all__ = ["Criterion", "GroundTruth", "Layer", "dice_loss", "focal_loss", "ground_truth"]


class GroundTruth(NamedTuple):
    """The masks of an image."""

    ids: Tensor  # (G,) int64, ascending: the class, or the segment's number, of each mask
    masks: Tensor  # (G, H, W) bool


class Layer(NamedTuple):
    """The prediction of a decoder layer."""

    masks: Tensor  # (B, N, h, w) mask logits
    logits: Tensor | None  # (B, N, C + 1) class logits, no-object last; None: masks alone are trained


def ground_truth(labels: Tensor, ignore_label: int) -> list[GroundTruth]:
    """One binary mask for each id in the labels of an image: (B, H, W) -> B ground truths.

    Ignored pixels and padding lie outside every mask, as in MaskFormer. An image may have no mask.
    """
    found = []
    for image in labels:
        ids = image.unique()
        ids = ids[ids != ignore_label]
        found.append(GroundTruth(ids, image == ids.view(-1, 1, 1)))
    return found


def focal_loss(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """The focal loss of each mask, mean of its pixels: (M, L) logits and (M, L) of 0 and 1 -> (M,)."""
    p = logits.sigmoid()
    wrong = p + targets - 2 * p * targets  # 1 - p inside the mask, p outside
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (weight * wrong**gamma * loss).mean(1)


def dice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The dice loss of each mask: (M, L) logits and (M, L) of 0 and 1 -> (M,)."""
    p = logits.sigmoid()
    return 1 - (2 * (p * targets).sum(1) + 1) / (p.sum(1) + targets.sum(1) + 1)


class Criterion:
    """The weighted losses of all decoder layers. Every layer has its own matching.

    Args:
        matcher: assigns masks to proposals.
        classes, focal, dice: weights of the losses.
        no_object: weight of no-object in the cross-entropy; classes have the weight 1.
        alpha, gamma: of the focal loss.
    """

    def __init__(
        self,
        matcher: Matcher,
        classes: float = 1.0,
        focal: float = 20.0,
        dice: float = 1.0,
        no_object: float = 0.1,
        alpha: float = 0.25,
        gamma: float = 2.0,
    ):
        self.matcher = matcher
        self.classes = classes
        self.focal = focal
        self.dice = dice
        self.no_object = no_object
        self.alpha = alpha
        self.gamma = gamma

    def __call__(self, layers: Sequence[Layer], labels: Tensor, ignore_label: int = 255) -> dict[str, Tensor]:
        """The losses of a batch, computed in float32.

        Focal and dice loss are sums over the matched masks, divided by the number of masks of an average process: where
        processes average their gradients, this is a division by the number of masks over all processes.

        Args:
            layers: the predictions, the last layer's last.
            labels: (B, H, W) ids or ``ignore_label``.
            ignore_label: the label of pixels without a class.

        Returns:
            Weighted scalars "loss_ce", "loss_mask" (focal) and "loss_dice" of the last layer, and of layer i, counted
            from 0, "loss_ce_i" and so on, as in MaskFormer. Without class logits there is no "loss_ce".
        """
        truths = ground_truth(labels, ignore_label)
        shrunk = _shrunk(labels, layers[0].masks.shape[-2:])
        small = [image == truth.ids.view(-1, 1, 1) for image, truth in zip(shrunk, truths, strict=True)]
        count = self._number_of_masks(truths, labels.device)
        losses: dict[str, Tensor] = {}
        with without_autocast(labels.device):
            for i, layer in enumerate(layers):
                suffix = "" if i == len(layers) - 1 else f"_{i}"
                found = self._of_layer(layer, truths, small, count)
                losses |= {f"{name}{suffix}": value for name, value in found.items()}
        return losses

    def _of_layer(
        self, layer: Layer, truths: list[GroundTruth], small: list[Tensor], count: Tensor
    ) -> dict[str, Tensor]:
        """The weighted losses of one layer. ``small`` are the masks of each image at the size of the mask logits."""
        pairs = [self.matcher(logits, masks) for logits, masks in zip(layer.masks, small, strict=True)]
        of_masks = torch.stack(
            [
                recompute(self._of_masks, logits[proposals], truth.masks[masks])
                for logits, truth, (proposals, masks) in zip(layer.masks, truths, pairs, strict=True)
            ]
        )
        focal, dice = (of_masks.sum(0) / count).unbind()
        losses = {"loss_mask": self.focal * focal, "loss_dice": self.dice * dice}
        if layer.logits is not None:
            losses["loss_ce"] = self.classes * self._of_classes(layer.logits.float(), truths, pairs)
        return losses

    def _of_masks(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The sums of focal and dice loss over matched masks: (M, h, w) logits, (M, H, W) bool -> (2,)."""
        logits = resize(logits.float().unsqueeze(1), targets.shape[-2:]).flatten(1)
        targets = targets.flatten(1).float()
        focal = focal_loss(logits, targets, self.alpha, self.gamma)
        return torch.stack([focal.sum(), dice_loss(logits, targets).sum()])

    def _of_classes(self, logits: Tensor, truths: list[GroundTruth], pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Cross-entropy, mean weighted by class; the class of a proposal without a mask is no-object."""
        no_object = logits.shape[-1] - 1
        classes = torch.full(logits.shape[:2], no_object, dtype=torch.long, device=logits.device)
        for row, truth, (proposals, masks) in zip(classes, truths, pairs, strict=True):
            row[proposals] = truth.ids[masks]
        weights = torch.ones(no_object + 1, device=logits.device)
        weights[no_object] = self.no_object
        return F.cross_entropy(logits.flatten(0, 1), classes.flatten(), weights)

    @staticmethod
    def _number_of_masks(truths: list[GroundTruth], device: torch.device) -> Tensor:
        """The number of masks, at least 1: the mean of the processes."""
        count = torch.tensor(float(sum(len(truth.ids) for truth in truths)), device=device)
        if comm.get_world_size() > 1:
            torch.distributed.all_reduce(count)
        return (count / comm.get_world_size()).clamp(min=1)


def _shrunk(labels: Tensor, size: Sequence[int]) -> Tensor:
    """Labels at another size, of the nearest pixels: (B, H, W) -> (B, *size)."""
    return F.interpolate(labels.unsqueeze(1).float(), size=tuple(size), mode="nearest").squeeze(1).long()
