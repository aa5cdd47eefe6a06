"""The head: costs -> classes that stay -> cost embedding -> aggregation -> decoder -> logits (sections 4 to 6).

Shapes: B images, T names, K classes kept, D the dimension that image and text share, C and G channels of the costs
and of their guidance, g x g locations.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ArgumentError, arguments_from
from ..cost_map import cost_map
from ..layers import call, recompute
from .classes import ClassAggregation
from .cost import EMBEDDINGS, Selection, first_of_equal
from .decoder import Decoder
from .spatial import SpatialAggregation

__all__ = ["AggregationLayer", "CATSegHead", "Unchanged", "Unguided", "head_from_config"]


class AggregationLayer(nn.Module):
    """Aggregation over locations, then over classes; an ablation leaves one of them out."""

    def __init__(self, spatial: nn.Module, classes: nn.Module):
        super().__init__()
        self.spatial = spatial
        self.classes = classes

    def forward(self, x: Tensor, image_guidance: Tensor | None, text_guidance: Tensor | None) -> Tensor:
        """(B, K, g g, C) and the guidances (B, g g, G) and (B or 1, K, G) -> (B, K, g g, C)."""
        x = self.spatial(x, image_guidance, text_guidance)
        return self.classes(x, image_guidance, text_guidance)


class Unchanged(nn.Module):
    """Takes the place of an aggregation that is left out."""

    def forward(self, x: Tensor, image_guidance: Tensor | None, text_guidance: Tensor | None) -> Tensor:
        return x


class Unguided(nn.Module):
    """Takes the place of the projection of a guidance that is left out."""

    def forward(self, x: Tensor) -> None:
        return None


class CATSegHead(nn.Module):
    """The head of CAT-Seg.

    Args:
        text_dim: D.
        grid: g.
        image_dims: channels of the features that guide the decoder, by their order; empty for none.
        dim, num_layers, num_heads: C, the number of aggregation layers and of their attention heads.
        guidance_dim: channels of the guidance from image and text.
        cost: "cosine" or "features", what the cost embedding is made of.
        max_classes: the number of classes to which fewer are padded, and which stay of more; 0: neither.
        spatial, classes: whether a layer aggregates over locations, and over classes.
        image_guidance, text_guidance: whether these are guided.
        window: see ``SpatialAggregation``.
        attention, pooling, pooling_test: see ``ClassAggregation``.
        dims: see ``Decoder``.
        run: calls modules in training: ``call``, or ``recompute`` to save memory.

    Raises:
        ArgumentError: a value does not fit.
    """

    def __init__(
        self,
        text_dim: int,
        grid: int,
        image_dims: Sequence[int],
        dim: int = 128,
        num_layers: int = 2,
        num_heads: int = 4,
        guidance_dim: int = 128,
        cost: str = "cosine",
        max_classes: int = 256,
        spatial: bool = True,
        classes: bool = True,
        image_guidance: bool = True,
        text_guidance: bool = True,
        window: int = 12,
        attention: str = "linear",
        pooling: Sequence[int] = (2, 2),
        pooling_test: Sequence[int] = (1, 1),
        dims: Sequence[int] = (64, 32),
        run: Callable = call,
    ):
        super().__init__()
        if cost not in EMBEDDINGS:
            raise ArgumentError("{cost} = %r; give one of %s.", cost, ", ".join(EMBEDDINGS))
        if not (spatial or classes):
            raise ArgumentError("{spatial} and {classes} are both False; set one of them True.")
        self.grid, self.max_classes = grid, max_classes
        self.selection = Selection()
        self.embedding = EMBEDDINGS[cost](text_dim, dim)
        image_width = guidance_dim * (spatial and image_guidance)
        text_width = guidance_dim * (classes and text_guidance)
        self.image_guidance: nn.Module = Unguided()
        self.text_guidance: nn.Module = Unguided()
        if image_width:
            self.image_guidance = nn.Sequential(nn.Conv2d(text_dim, image_width, 3, padding=1), nn.ReLU())
        if text_width:
            self.text_guidance = nn.Sequential(nn.Linear(text_dim, text_width), nn.ReLU())
        self.layers: Any = nn.ModuleList()
        for _ in range(num_layers):
            over_locations: nn.Module = Unchanged()
            over_classes: nn.Module = Unchanged()
            if spatial:
                over_locations = SpatialAggregation(dim, image_width, num_heads, grid, window, run)
            if classes:
                sizes = (attention, pooling, pooling_test, max_classes)
                over_classes = ClassAggregation(dim, text_width, num_heads, grid, *sizes, run)
            self.layers.append(AggregationLayer(over_locations, over_classes))
        self.decoder = Decoder(dim, image_dims, dims, run)

    def forward(self, features: Mapping[str, Tensor], text: Tensor, num_kept: int) -> tuple[Tensor, Tensor]:
        """Segment.

        Args:
            features: "dense" (B, D, g, g), and the features that guide the decoder.
            text: (T, D) text embeddings of unit length.
            num_kept: how many names may stay, 0 for all; ``max_classes`` limits it too.

        Returns:
            Logits (B, K, 4 g, 4 g) and the ids of the classes kept (B, K), ascending.
        """
        dense, first = features["dense"], first_of_equal(text)
        costs = cost_map(dense, text)  # (B, T, g, g)
        if first is not None:
            costs = costs[:, first]
        kept = self.selection(costs, self.most(num_kept, text))
        if kept is None:
            text = text.unsqueeze(0)
        else:
            costs, text = costs.gather(1, kept[..., None, None].expand(-1, -1, *costs.shape[-2:])), text[kept]
        x = self.aggregate(costs, dense, text)
        maps = [features[name] for name in ("guidance1", "guidance2") if name in features]
        logits = self.decoder(x, maps, (dense.shape[2], dense.shape[3]))
        if kept is None:
            kept = torch.arange(costs.shape[1], device=costs.device).expand(costs.shape[0], -1)
        return (logits if first is None else logits.gather(1, _slots(kept, first, logits))), kept

    def most(self, num_kept: int, text: Tensor) -> int:
        """How many names stay of (T, D)."""
        limits = [limit for limit in (num_kept, self.max_classes) if limit]
        return min(limits) if limits else text.shape[0]

    def aggregate(self, costs: Tensor, dense: Tensor, text: Tensor) -> Tensor:
        """Cost embedding and aggregation: (B, K, g, g), (B, D, g, g) and (B or 1, K, D) -> (B, K, g g, C)."""
        dtype = self.decoder.head.weight.dtype
        x = self.embedding(costs, F.normalize(dense.float(), dim=1), text)
        image_guidance = self.image_guidance(dense.to(dtype))
        if image_guidance is not None:
            image_guidance = image_guidance.flatten(2).mT
        text_guidance = self.text_guidance(text.to(dtype))
        for layer in self.layers:
            x = layer(x, image_guidance, text_guidance)
        return x


def _slots(kept: Tensor, first: Tensor, logits: Tensor) -> Tensor:
    """For each kept class the place of the lowest kept class that is equal to it, as an index for ``gather``."""
    own = first[kept]  # (B, K)
    places = (own.unsqueeze(2) == own.unsqueeze(1)).int().argmax(2)  # the first one that is equal
    return places[..., None, None].expand_as(logits)


def head_from_config(cfg: Any, text_dim: int, grid: int, image_dims: Sequence[int]) -> CATSegHead:
    """The head that ``MODEL.COST``, ``MODEL.AGGREGATION`` and ``MODEL.UPSAMPLING`` ask for."""
    keys = cfg.MODEL.AGGREGATION
    with arguments_from(
        "MODEL.AGGREGATION", cost="MODEL.COST.KIND", dims="MODEL.UPSAMPLING.DIMS", classes="MODEL.AGGREGATION.CLASS"
    ):
        return CATSegHead(
            text_dim=text_dim,
            grid=grid,
            image_dims=image_dims,
            dim=keys.DIM,
            num_layers=keys.NUM_LAYERS,
            num_heads=keys.NUM_HEADS,
            guidance_dim=keys.GUIDANCE_DIM,
            cost=cfg.MODEL.COST.KIND,
            max_classes=cfg.MODEL.COST.MAX_CLASSES,
            spatial=keys.SPATIAL,
            classes=keys.CLASS,
            image_guidance=keys.IMAGE_GUIDANCE,
            text_guidance=keys.TEXT_GUIDANCE,
            window=keys.WINDOW,
            attention=keys.ATTENTION,
            pooling=keys.POOLING,
            pooling_test=keys.POOLING_TEST,
            dims=cfg.MODEL.UPSAMPLING.DIMS,
            run=recompute if cfg.MODEL.GRADIENT_CHECKPOINTING else call,
        )
