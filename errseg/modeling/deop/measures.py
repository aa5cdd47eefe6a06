"""What a report measures in DeOP's parts, to find the stage that loses a class.

A class of an image counts as one region: the pixels with its label. Shapes: N proposals, G regions, h x w the size
of the mask logits, H x W that of the labels.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layers import resize
from ..prediction import image_size
from .criterion import GroundTruth, ground_truth
from .matcher import Matcher
from .regions import padded

__all__ = ["MEASURES", "STAGE2_MEASURES", "mask_recall", "true_mask_classes"]

LEAST_IOU = 0.5
IGNORED = -1
CERTAIN = 1e-4  # a true mask becomes logits of probabilities between this and one minus this


@torch.no_grad()
def mask_recall(model: Any, inputs: dict, labels: Tensor) -> tuple[int, int]:
    """The number of regions that some proposal covers with an IoU of at least 0.5, and the number of regions.

    Args:
        model: a system of DeOP's with a proposal network.
        inputs: of the model, for one image.
        labels: (H, W) int64 class ids; negative where a pixel has no class, and then the pixel does not count.
    """
    truth, size = _truth(model, labels), image_size(inputs)
    images = padded(model.preprocess(inputs["image"], size))
    masks = resize(model.proposals(images).masks, images.shape[-2:])[..., : size[0], : size[1]]
    labelled = labels.to(masks.device) >= 0
    found = ((resize(masks, labels.shape)[0] > 0) & labelled).flatten(1).float()  # (N, pixels)
    true = truth.masks.flatten(1).float()
    shared = true @ found.mT  # (G, N)
    iou = shared / (true.sum(1, keepdim=True) + found.sum(1) - shared)
    return int((iou >= LEAST_IOU).any(1).sum()), len(true)


@torch.no_grad()
def true_mask_classes(model: Any, inputs: dict, labels: Tensor) -> tuple[int, int]:
    """The number of regions that the anchors name right if they get the true masks, and the number of regions.

    The true mask takes the place of the proposal that stage 2's matching assigns to it; the other proposals stay.
    No-object is not a possible answer. Arguments as of ``mask_recall``; the model is a ``DeOP``.
    """
    truth, size = _truth(model, labels), image_size(inputs)
    images = padded(model.preprocess(inputs["image"], size))
    masks = model.proposals(images).masks
    true = padded(resize(truth.masks.float().unsqueeze(0), size))  # the padding is in no region
    share = F.interpolate(true, masks.shape[-2:], mode="area")[0]  # (G, h, w)
    proposals, regions = Matcher()(masks[0], share > 0.5)
    masks = masks.clone()
    masks[0, proposals] = share[regions].logit(CERTAIN)
    embeddings = model.anchors(model.backbone(images, masks), masks)
    classes = model.classifier(embeddings, model.encoded().text.float())[0, proposals, :-1].argmax(-1)
    return int((classes == truth.ids[regions]).sum()), len(truth.ids)


def _truth(model: Any, labels: Tensor) -> GroundTruth:
    [truth] = ground_truth(labels.to(model.device).clamp(min=IGNORED).unsqueeze(0), IGNORED)
    return truth


STAGE2_MEASURES = {"mask recall": mask_recall}
MEASURES = {**STAGE2_MEASURES, "classes of true masks": true_mask_classes}
