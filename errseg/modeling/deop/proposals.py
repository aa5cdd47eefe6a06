"""The network of class-agnostic mask proposals (contract, section 2; MaskFormer).

Shapes: B images, N proposals, C channels.
"""

from typing import Any, NamedTuple

import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import BACKBONE_REGISTRY, Backbone, ShapeSpec
from torch import Tensor, nn

from ...errors import ArgumentError, UsageError, arguments_from, short
from ..clip.encoder import CLIPEncoder
from ..layers import without_autocast
from .pixel_decoder import PixelDecoder, xavier_as_caffe2
from .transformer import Transformer

__all__ = ["Predictor", "ProposalNetwork", "Proposals"]

CLASS_HIDDEN_DIM = 1024  # hidden width of ``Predictor.class_embed``


class Proposals(NamedTuple):
    """Masks and what the transformer knows of them."""

    masks: Tensor  # (B, N, H/4, W/4) float32 logits
    queries: Tensor  # (B, N, C)


class MLP(nn.Module):
    """Linear layers with ReLU between them.

    Args:
        widths: of the input, of each hidden layer, and of the output.
    """

    def __init__(self, *widths: int):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in zip(widths[:-1], widths[1:], strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """(..., widths[0]) -> (..., widths[-1])."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x), inplace=True)
        return self.layers[-1](x)


class Predictor(nn.Module):
    """Learned queries that a transformer decoder turns into masks, and in stage 2 into classes.

    Args:
        in_channels: of the coarsest map of the backbone.
        dim: C.
        num_queries: N.
        num_heads, hidden_dim, num_layers, dropout: see ``Transformer``.
        embed_dim: dimension of the text embeddings that classes are compared with.

    Raises:
        ArgumentError: there are no queries or layers, or a width does not fit the heads.
    """

    def __init__(
        self,
        in_channels: int,
        dim: int,
        num_queries: int,
        num_heads: int,
        hidden_dim: int,
        num_layers: int,
        dropout: float,
        embed_dim: int,
    ):
        super().__init__()
        if num_queries < 1:
            raise ArgumentError("{num_queries} = %s; give at least 1.", num_queries)
        if num_layers < 1:
            raise ArgumentError("{num_layers} = %s; give at least 1.", num_layers)
        self.input_proj = nn.Conv2d(in_channels, dim, 1)
        xavier_as_caffe2(self.input_proj)
        self.transformer = Transformer(dim, num_heads, hidden_dim, num_layers, dropout)
        self.query_embed = nn.Embedding(num_queries, dim)  # starts as N(0, 1)
        self.mask_embed = MLP(dim, dim, dim, dim)
        self.class_embed = MLP(dim, CLASS_HIDDEN_DIM, embed_dim)  # for stage 2 alone

    def forward(self, coarsest: Tensor, pixels: Tensor) -> Proposals:
        """(B, in_channels, H/32, W/32) and P (B, C, H/4, W/4) -> the proposals of the last layer."""
        queries = self.queries(coarsest)[-1]
        return Proposals(self.masks(queries, pixels), queries)

    def each_layer(self, coarsest: Tensor, pixels: Tensor) -> list[Proposals]:
        """As ``forward``, the proposals of every layer, the last layer's last."""
        return [Proposals(self.masks(queries, pixels), queries) for queries in self.queries(coarsest)]

    def queries(self, coarsest: Tensor) -> list[Tensor]:
        """(B, in_channels, H/32, W/32) -> the output of every layer, (B, N, C)."""
        memory = self.input_proj(coarsest.to(self.input_proj.weight.dtype))
        # A copy: a view of a parameter requires a gradient even under no_grad, and torch's flop counter fails on it
        return self.transformer(memory, self.query_embed.weight.clone())

    def masks(self, queries: Tensor, pixels: Tensor) -> Tensor:
        """The product of mask embeddings and pixel embeddings, in float32: (B, N, C), (B, C, h, w) -> (B, N, h, w)."""
        embeddings = self.mask_embed(queries)
        with without_autocast(pixels.device):
            masks = embeddings.float() @ pixels.float().flatten(2)
        return masks.unflatten(-1, pixels.shape[-2:])


class ProposalNetwork(nn.Module):
    """Backbone, pixel decoder and predictor.

    Args:
        backbone: from images to maps at strides 4, 8, 16 and 32.
        pixel_decoder: from these maps to pixel embeddings.
        predictor: from the coarsest map and the pixel embeddings to proposals.
    """

    @configurable
    def __init__(self, *, backbone: Backbone, pixel_decoder: PixelDecoder, predictor: Predictor):
        super().__init__()
        self.backbone = backbone
        self.pixel_decoder = pixel_decoder
        self.predictor = predictor

    @classmethod
    def from_config(cls, cfg: CfgNode, embed_dim: int) -> dict[str, Any]:
        """The arguments by the keys of ``MODEL.PROPOSALS``.

        Args:
            cfg: the configuration.
            embed_dim: dimension of CLIP's text embeddings.

        Raises:
            UsageError: a key has a value that does not fit.
        """
        keys = cfg.MODEL.PROPOSALS
        kind = BACKBONE_REGISTRY.get(keys.BACKBONE) if keys.BACKBONE in BACKBONE_REGISTRY else CLIPEncoder
        if isinstance(kind, type) and issubclass(kind, CLIPEncoder):
            raise UsageError(
                f"MODEL.PROPOSALS.BACKBONE = {short(keys.BACKBONE)!r} is no backbone of proposals; give ResNet101c, "
                "ResNet50 or ResNet18c."
            )
        backbone = kind(cfg, ShapeSpec(channels=len(cfg.MODEL.PIXEL_MEAN)))
        shapes = backbone.output_shape()
        with arguments_from("MODEL.PROPOSALS", hidden_dim="MODEL.PROPOSALS.FFN_DIM"):
            pixel_decoder = PixelDecoder(shapes, keys.DIM)
            predictor = Predictor(
                in_channels=shapes[pixel_decoder.names[-1]].channels,
                dim=keys.DIM,
                num_queries=keys.NUM_QUERIES,
                num_heads=keys.NUM_HEADS,
                hidden_dim=keys.FFN_DIM,
                num_layers=keys.NUM_LAYERS,
                dropout=keys.DROPOUT,
                embed_dim=embed_dim,
            )
        return {"backbone": backbone, "pixel_decoder": pixel_decoder, "predictor": predictor}

    def forward(self, images: Tensor) -> Proposals:
        """(B, 3, H, W) normalised, H and W multiples of 32 -> masks (B, N, H/4, W/4), queries (B, N, C)."""
        return self.predictor(*self.maps(images))

    def each_layer(self, images: Tensor) -> list[Proposals]:
        """As ``forward``, the proposals of every decoder layer, the last layer's last: for stage 2's training."""
        return self.predictor.each_layer(*self.maps(images))

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> the coarsest map of the backbone (B, C_5, H/32, W/32), P (B, C, H/4, W/4)."""
        features = self.backbone(images)
        return features[self.pixel_decoder.names[-1]], self.pixel_decoder(features)
