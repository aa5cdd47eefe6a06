"""The panels of DeOP for an inspection: its proposals, the heatmaps of its anchors, and patch severance on and off.

Shapes: T names, N proposals and anchors, D the dimension that image and text share, h x w locations of F_V.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ..layers import with_module
from ..panels import Panel, RegionHeatmaps, RegionMasks, Request, SeveranceMaps
from ..taps import Seen, tap_of
from .severance import MODES, attentions

__all__ = ["PANELS"]

MASK_STRIDE = 4  # of the masks
OFF = "none"  # the mode without severance


def proposals(model: nn.Module, seen: Seen, request: Request) -> RegionMasks:
    """The mask and the class of each proposal."""
    masks, logits = seen["proposals"][0].masks[0], seen["class_logits"][0][0]
    return RegionMasks(_within(masks.sigmoid(), request, MASK_STRIDE), logits.softmax(-1), MASK_STRIDE)


def heatmaps(model: Any, seen: Seen, request: Request) -> RegionHeatmaps:
    """The heatmaps before and after the mask multiplies them, on average over the heads."""
    module: Any = tap_of(model, "heatmap_inputs").module
    queries, keys, masks = seen["heatmap_inputs"][0]
    size, classes = seen["dense"][0].shape[-2:], seen["class_logits"][0][0].softmax(-1)
    maps = [module.forward(queries, keys, share)[0].mean(0) for share in (torch.ones_like(masks), masks)]
    stride = model.backbone.patch_size
    before, after, regions = (_within(x.unflatten(-1, size), request, stride) for x in (*maps, masks[0]))
    return RegionHeatmaps(before, after, RegionMasks(regions, classes, stride))


def severance(model: Any, seen: Seen, request: Request) -> SeveranceMaps:
    """The cosines of F_V with the names and with one of its locations, as the model is and with CLIP's own attention.

    Runs the image tower once more, on a shallow copy: the model does not change.
    """
    images, masks = seen["tower_inputs"][0]
    own, stride = model.backbone, model.backbone.patch_size
    whole = with_module(own, "attentions", attentions(OFF, (), len(own.attentions)))
    dense = {_mode(model): seen["dense"][0], OFF: whole.forward(images, masks)}
    maps = {mode: _within(each[0], request, stride) for mode, each in dense.items()}
    names = {mode: torch.einsum("td,dhw->thw", request.text.float(), each) for mode, each in maps.items()}
    place = {mode: torch.einsum("d,dhw->hw", _at(each, request, stride), each) for mode, each in maps.items()}
    return SeveranceMaps(names, place, stride)


def _within(maps: Tensor, request: Request, stride: int) -> Tensor:
    """The cells that lie in the view, at least in part: (..., h, w) of the padded view -> (..., h', w')."""
    height, width = (-(-side // stride) for side in request.size)
    return maps[..., :height, :width]


def _at(maps: Tensor, request: Request, stride: int) -> Tensor:
    """The channels at the requested place: (D, h, w) -> (D,)."""
    (x, y), (height, width) = request.place, request.size
    return maps[:, int(y * height) // stride, int(x * width) // stride]


def _mode(model: Any) -> str:
    """The mode of patch severance; "none" where no block is severed."""
    kinds = {type(each) for each in model.backbone.attentions}
    return next((mode for mode, kind in MODES.items() if mode != OFF and any(issubclass(k, kind) for k in kinds)), OFF)


def _without_severance(model: nn.Module) -> str | None:
    if _mode(model) != OFF:
        return None
    return "no block is severed (MODEL.PATCH_SEVERANCE.MODE is none, or MODEL.PATCH_SEVERANCE.BLOCKS is empty)"


PANELS = {
    "proposals": Panel(proposals, ("proposals", "class_logits")),
    "heatmaps": Panel(heatmaps, ("heatmap_inputs", "dense", "class_logits")),
    "severance": Panel(severance, ("tower_inputs", "dense"), _without_severance),
}
