"""The panel of SED for an inspection: the cost map.

Shapes: T names, h x w locations at stride 32.
"""

from typing import Any

from torch import Tensor

from ..panels import Panel, Request
from ..taps import Seen

__all__ = ["PANELS"]


def cost(model: Any, seen: Seen, request: Request) -> dict[str, Tensor]:
    """The cosines of each name, mean over the templates: (T, h, w)."""
    return {"E32": model.costs(seen["encoder"][0]["E32"], request.text)[0].mean(1)}


PANELS = {"cost": Panel(cost, ("encoder",))}
