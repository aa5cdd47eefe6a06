"""The panels of SED for an inspection: the cost map, and what guides the upsampling.

Shapes: T names, C channels, h x w a map.
"""

from typing import Any

from torch import Tensor

from ..panels import GuidanceMaps, Panel, Request
from ..taps import Seen
from .cost import Unguided

__all__ = ["PANELS"]

FEATURES = {"os16": "features1", "os8": "features2", "os4": "features3"}  # feature map: tap


def cost(model: Any, seen: Seen, request: Request) -> dict[str, Tensor]:
    """The cosines of each name, mean over the templates: (T, h, w)."""
    return {"E32": model.costs(seen["encoder"][0]["E32"], request.text)[0].mean(1)}


def guidance(model: Any, seen: Seen, request: Request) -> GuidanceMaps:
    """The guidance of the upsampling from the image, (C, h, w) by the name of the feature map."""
    return GuidanceMaps(None, None, {name: seen[tap][0][0] for name, tap in FEATURES.items()})


def _unguided(model: Any) -> str | None:
    if not isinstance(model.decoder.stages[0].skip.features, Unguided):
        return None
    return "no feature map guides the model (MODEL.FUSION.FEATURE_GUIDANCE is False)"


PANELS = {
    "cost": Panel(cost, ("encoder",)),
    "guidance": Panel(guidance, tuple(FEATURES.values()), _unguided),
}
