"""Panels: what an inspection can show of a model (``errseg.inspection``). A system's record names those that it has.

Shapes: T names, K names kept, S names asked for, N proposals, C channels, h x w a map of the model.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from .taps import Seen

__all__ = [
    "ClassWeights",
    "GuidanceMaps",
    "LayerAttention",
    "Panel",
    "RegionHeatmaps",
    "RegionMasks",
    "Request",
    "SeveranceMaps",
    "SpatialWeights",
]


class Request(NamedTuple):
    """What a panel is asked for."""

    text: Tensor  # (T, D) text embeddings
    num_kept: int  # K; T for all names
    layer: int  # from 1, for panels of several layers
    names: tuple[int, ...]  # S ids
    place: tuple[float, float]  # (x, y) as shares of the picture, 0 to below 1
    size: tuple[int, int]  # height and width in pixels of the view that the model saw


@dataclass(frozen=True)
class Panel:
    """Something that can be shown of a model.

    ``errseg.inspection`` draws these, by their names in the record: "cost", a mapping of names to cost maps (T, h, w);
    "crm", the points (T,) that rank the names; "attention", a ``LayerAttention``; "guidance", a ``GuidanceMaps``;
    "proposals", ``RegionMasks``; "heatmaps", ``RegionHeatmaps``; "severance", ``SeveranceMaps``. The maps of the last
    three begin at the top left of the view, and may reach beyond it at the bottom and the right.

    Attributes:
        show: computes it after a run on one image, of the model, what was seen at the taps, and what is asked for.
        taps: those that it needs; a model may lack some.
        absent: why a model lacks the panel, as the end of a sentence; None: the model has it.
        num_layers: how many layers of a model it can show.
    """

    show: Callable[[nn.Module, Seen, Request], Any]
    taps: tuple[str, ...] = ()
    absent: Callable[[nn.Module], str | None] = lambda model: None
    num_layers: Callable[[nn.Module], int] = lambda model: 1


class SpatialWeights(NamedTuple):
    """The attention over locations, from one location."""

    names: Tensor  # (S',) ids of those asked for that were kept
    weights: Tensor  # (S', heads, h, w); the sum over h x w is 1
    grid: tuple[int, int]  # height and width in locations
    reduction: int  # a cell of h x w covers so many locations in each direction


class ClassWeights(NamedTuple):
    """The attention over names: row i is what name i attends to."""

    mean: Tensor  # (heads, K, K), over all locations
    at_place: Tensor  # (heads, K, K)


class LayerAttention(NamedTuple):
    """The attention of one layer."""

    kept: Tensor  # (K,) ids, ascending
    spatial: SpatialWeights | None  # None: the layer has none over locations
    classes: ClassWeights | None  # None: the layer has none over names


class GuidanceMaps(NamedTuple):
    """What guides the fusion and the decoder."""

    image: Tensor | None  # (h, w, C); None: the model has none
    text: Tensor | None  # (K, C)
    decoder: Mapping[str, Tensor]  # (C, h, w) each, by the name of the feature map


class RegionMasks(NamedTuple):
    """The masks that a model proposes, and the name of each."""

    masks: Tensor  # (N, h, w) probabilities
    classes: Tensor  # (N, T + 1) probabilities, the last that the mask shows none of the names
    stride: int  # side of a cell of h x w in pixels of the view


class RegionHeatmaps(NamedTuple):
    """Where the classifier looks for each proposal, on average over its heads."""

    before: Tensor  # (N, h, w); the sum over the cells of the whole padded view is 1
    after: Tensor  # (N, h, w), multiplied by the proposal's mask
    regions: RegionMasks  # at the same cells


class SeveranceMaps(NamedTuple):
    """Similarities of the dense embedding with patch severance, and without."""

    names: Mapping[str, Tensor]  # (T, h, w) cosines with the names, by the mode of the severance
    place: Mapping[str, Tensor]  # (h, w) cosines with the embedding at the requested place
    stride: int
