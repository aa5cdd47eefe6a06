"""The panels of CAT-Seg for an inspection: the cost map, and what guides aggregation and decoder.

Shapes: T names, K classes kept, C and G channels, g x g locations, h x w a map of them or of the decoder.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ..cost_map import cost_map
from ..panels import GuidanceMaps, Panel, Request
from ..taps import Seen
from .model import MULTIPLE

__all__ = ["PANELS"]

DECODER_TAPS = ("decoder_guidance1", "decoder_guidance2")


def cost(model: Any, seen: Seen, request: Request) -> dict[str, Tensor]:
    """The cosines of all names, those too that are not kept: (T, g, g), by the dense embedding."""
    maps = cost_map(seen["encoder"][0]["dense"], request.text)[0]
    return {f"E{model.backbone.patch_size}": within(maps, request.size)}


def guidance(model: nn.Module, seen: Seen, request: Request) -> GuidanceMaps:
    """The guidance of the aggregation over locations and over classes, and of the decoder's stages."""
    image = text = None
    if "image_guidance" in seen:
        image = within(seen["image_guidance"][0][0], request.size).permute(1, 2, 0)
    if "text_guidance" in seen:
        text = seen["text_guidance"][0][0]
    maps = {f"stage {i}": seen[tap][0][0] for i, tap in enumerate(DECODER_TAPS, 1) if tap in seen}
    return GuidanceMaps(image, text, {name: within(x, request.size) for name, x in maps.items()})


def within(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps of a view without the share of its padding, at as many locations: (C, h, w) -> (C, h, w).

    Args:
        maps: of the view, padded to multiples of 32.
        size: height and width of the view.
    """
    shares = [side / (side + -side % MULTIPLE) for side in size]
    if shares == [1, 1]:
        return maps
    # In the coordinates of grid_sample, -1 and 1 are the edges of a map
    (y, x), theta = shares, maps.new_zeros(1, 2, 3)
    theta[0, 0, 0], theta[0, 0, 2], theta[0, 1, 1], theta[0, 1, 2] = x, x - 1, y, y - 1
    grid = F.affine_grid(theta, [1, *maps.shape], align_corners=False)
    return F.grid_sample(maps[None], grid, padding_mode="border", align_corners=False)[0]


def _unguided(model: Any) -> str | None:
    head = model.sem_seg_head
    if len(head.decoder.guidance) or any(
        isinstance(x, nn.Sequential) for x in (head.image_guidance, head.text_guidance)
    ):
        return None
    return (
        "nothing guides the model (MODEL.AGGREGATION.IMAGE_GUIDANCE, MODEL.AGGREGATION.TEXT_GUIDANCE and "
        "MODEL.UPSAMPLING.GUIDED are False)"
    )


PANELS = {
    "cost": Panel(cost, ("encoder",)),
    "guidance": Panel(guidance, ("image_guidance", "text_guidance", *DECODER_TAPS), _unguided),
}
