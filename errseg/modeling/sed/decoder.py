"""The gradual fusion decoder: cost map -> cost embedding -> three stages -> logits (sections 4 to 6).

Shapes: B images, T names, K of them kept, P templates, D text dimension, N maps of single names (T for each image), C
channels, n the side of the map at stride 32.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ArgumentError
from ..layers import call
from ..prediction import Prediction
from .class_attention import ClassAttention, NoClassAttention
from .cost import CostEmbedding, CostGuidance, FeatureGuidance, Unguided, prompt_costs
from .rejection import KeepAll
from .skip import SkipFusion
from .spatial import ConvNeXtBlock

__all__ = ["Decoder", "FusionStage", "build_decoder"]

SPATIAL = ("convnext", "none")


class FusionStage(nn.Module):
    """Aggregate over locations, then over names; upsample.

    Args:
        spatial, attention, skip: the modules, or their replacements in an ablation.
    """

    def __init__(self, spatial: nn.Module, attention: nn.Module, skip: SkipFusion):
        super().__init__()
        self.spatial, self.attention, self.skip = spatial, attention, skip

    def forward(
        self,
        x: Tensor,
        costs: Tensor,
        image: Tensor,
        then: Callable[[Tensor], Tensor] | None = None,
        kept: Tensor | None = None,
    ) -> Tensor:
        """Aggregate and upsample.

        Args:
            x: (N, C, h, w).
            costs: the cost guidance of the stage before, (N, ., h, w).
            image: a feature map, (B, ., 2 h, 2 w).
            then: see ``SkipFusion``.
            kept: see ``ClassAttention``.

        Returns:
            (N, ., 2 h, 2 w).
        """
        x = self.attention(self.spatial(x), image.shape[0], kept)
        return self.skip(x, costs, image, then)


class Decoder(nn.Module):
    """Three stages, a head, and the auxiliary heads of early rejection.

    Args:
        embed: makes the cost embedding.
        stages: the stages.
        dims: channels of the cost embedding and of each stage's output.
        reject: early rejection, or its replacement.
        run: calls a stage in training: ``call``, or ``recompute`` to save memory.
    """

    def __init__(
        self,
        embed: CostEmbedding,
        stages: Sequence[FusionStage],
        dims: Sequence[int],
        reject: nn.Module,
        run: Callable = call,
    ):
        super().__init__()
        self.run = run
        self.embed = embed
        self.stages: Any = nn.ModuleList(stages)
        *inputs, output = dims
        self.aux_heads = nn.ModuleList(nn.Conv2d(dim, 1, kernel_size=3, padding=1) for dim in inputs)
        self.head = nn.Conv2d(output, 1, kernel_size=3, padding=1)
        self.reject: Any = reject

    def forward(self, costs: Tensor, maps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The logits of all names, and those of the auxiliary heads, for training.

        Args:
            costs: (B, T, P, n, n) cosines.
            maps: the feature maps at strides 16, 8 and 4.

        Returns:
            Logits (B, T, 8 n, 8 n), and auxiliary ones (B, T, n, n), (B, T, 2 n, 2 n), (B, T, 4 n, 4 n), which train
            only their own heads.
        """
        batch, costs = len(costs), costs.flatten(0, 1).to(self.head.weight.dtype)
        x, aux = self.embed(costs), []
        for stage, head, image in zip(self.stages, self.aux_heads, maps, strict=True):
            aux.append(head(x.detach()))
            x = self.run(stage, x, costs, image)
            costs = stage.skip.guide(costs) if len(aux) < len(self.stages) else costs
        logits, *aux = (each.squeeze(1).unflatten(0, (batch, -1)) for each in (self.head(x), *aux))
        return logits, aux

    def predict(self, dense: Tensor, text: Tensor, maps: Sequence[Tensor]) -> Prediction:
        """The scores of the names that an image of the batch keeps; each image rejects names by itself.

        Args:
            dense: (B, D, n, n) dense embedding.
            text: (T, P, D) text embeddings of unit length.
            maps: the feature maps at strides 16, 8 and 4, (B, ., h, w) each.
        """
        decoded = [
            self.decode(prompt_costs(dense[i : i + 1], text)[0], [each[i : i + 1] for each in maps])
            for i in range(len(dense))
        ]
        scores = [logits.float().sigmoid() for logits, _ in decoded]
        if len(decoded) == 1:
            return Prediction(scores[0].unsqueeze(0), decoded[0][1].unsqueeze(0))
        union = torch.cat([kept for _, kept in decoded]).unique()
        together = scores[0].new_zeros(len(decoded), len(union), *scores[0].shape[-2:])
        for i, (_, kept) in enumerate(decoded):
            together[i, torch.searchsorted(union, kept)] = scores[i]
        return Prediction(together, union.expand(len(decoded), -1))

    def decode(self, costs: Tensor, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The logits of the names that an image keeps.

        Args:
            costs: (T, P, n, n) cosines of one image.
            maps: its feature maps at strides 16, 8 and 4, (1, ., h, w) each.

        Returns:
            Logits (K, 8 n, 8 n) and the ids of the names kept (K,), ascending.
        """
        costs = costs.to(self.head.weight.dtype)
        kept, x = torch.arange(len(costs), device=costs.device), self.embed(costs)
        for i, (stage, head, image) in enumerate(zip(self.stages, self.aux_heads, maps, strict=True), 1):
            kept, x, costs = self.reject(kept, x, costs, head)
            is_last = i == len(self.stages)
            x = stage(x, costs, image, self.head if is_last else None)
            costs = costs if is_last else stage.skip.guide(costs)
        return x.squeeze(1), kept


def build_decoder(
    num_templates: int,
    image_dims: Sequence[int],
    dim: int = 128,
    spatial: str = "convnext",
    kernel_sizes: Sequence[int] = (9, 9, 9),
    class_attention: str = "linear",
    pooling: int = 2,
    pooling_test: int = 1,
    feature_guidance: bool = True,
    cost_guidance: bool = True,
    detach: bool = True,
    decay_norms: bool = True,
    reject: nn.Module | None = None,
    run: Callable = call,
) -> Decoder:
    """The decoder of the given parts.

    Args:
        num_templates: P.
        image_dims: channels of the feature maps at strides 16, 8 and 4.
        dim: C of the cost embedding. The stages have C, C / 2 and C / 4 channels, their guidance a quarter as many.
        spatial: "convnext" or "none".
        kernel_sizes: of the ConvNeXt block of each stage.
        class_attention: "linear", "softmax" or "none".
        pooling, pooling_test: see ``ClassAttention``.
        feature_guidance, cost_guidance: what guides the upsampling.
        detach: the guiding feature maps do not train the image tower.
        decay_norms: see ``ConvNeXtBlock``.
        reject, run: see ``Decoder``; None: every name stays.

    Raises:
        ArgumentError: there is no such module, or the sizes do not fit together.
    """
    if spatial not in SPATIAL:
        raise ArgumentError("{spatial} = %r; give 'convnext' or 'none'.", spatial)
    if len(kernel_sizes) != len(image_dims):
        raise ArgumentError("{kernel_sizes} = %s; give a size for each of the three stages.", list(kernel_sizes))
    if dim % 16:
        raise ArgumentError("{dim} = %s is no multiple of 16, which the widths of the stages need.", dim)
    dims = [dim >> i for i in range(len(image_dims) + 1)]
    stages, cost_dim = [], num_templates
    for width, out_dim, kernel_size, image_dim in zip(dims, dims[1:], kernel_sizes, image_dims, strict=False):
        guidance_dim = out_dim // 2
        attention = (
            NoClassAttention()
            if class_attention == "none"
            else ClassAttention(width, class_attention, pooling, pooling_test)
        )
        skip = SkipFusion(
            width,
            out_dim,
            FeatureGuidance(image_dim, guidance_dim, detach) if feature_guidance else Unguided(),
            CostGuidance(cost_dim, guidance_dim) if cost_guidance else Unguided(),
        )
        block = nn.Identity() if spatial == "none" else ConvNeXtBlock(width, kernel_size, decay_norms)
        stages.append(FusionStage(block, attention, skip))
        cost_dim = guidance_dim
    return Decoder(CostEmbedding(num_templates, dim), stages, dims, reject or KeepAll(), run)
