"""The head: text and image embeddings -> cost maps -> CRM -> HSM -> ESCF -> GUD -> logits (Fig. 3 of the paper).

Shapes: B images, T classes of the vocabulary, K classes kept, D text dimension, C channels, strides os4 ... os32.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from detectron2.config import configurable
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY, ShapeSpec
from torch import Tensor, nn

from ...errors import arguments_from
from ..cost_map import BLOCK, CostBlocks, cost_map
from ..layers import call, recompute, resize
from ..num_kept import AutoKept, NumKept
from .crm import CRM, KeepAll
from .escf import ESCF
from .gud import GUD, HeadOnly
from .hsm import HSM, SingleScale

GUIDANCE_LIMIT = 16.0  # guiding feature maps are clamped to [-16, 16]


class PassOn(nn.Module):
    """The cost embedding unchanged (Table V, "w/o ESCF")."""

    def forward(
        self,
        x: Tensor,
        maps: list[Tensor],
        text: Tensor,
        num_layers: int | None = None,
        named: Tensor | None = None,
    ) -> Tensor:
        """(B, K, H, W, C) -> the same."""
        return x


@SEM_SEG_HEADS_REGISTRY.register()
class ERRSegHead(nn.Module):
    """HSM, CRM, ESCF and GUD in the order of the paper.

    Args:
        embeddings: names of the dense embeddings that give cost maps. CRM reads the first.
        fusion_maps, decoder_maps: names of the maps that guide ESCF (coarsest first) and GUD (strides 16, 8, 4).
        crm, hsm, escf, gud: the modules, or their replacements in an ablation.
    """

    @configurable
    def __init__(
        self,
        embeddings: tuple[str, ...],
        fusion_maps: tuple[str, ...],
        decoder_maps: tuple[str, ...],
        crm: nn.Module,
        hsm: nn.Module,
        escf: nn.Module,
        gud: nn.Module,
    ):
        super().__init__()
        self.embeddings = embeddings
        self.fusion_maps = fusion_maps
        self.decoder_maps = decoder_maps
        self.crm: Any = crm
        self.hsm = hsm
        self.escf = escf
        self.gud = gud

    @classmethod
    def from_config(cls, cfg, input_shape: dict[str, ShapeSpec]) -> dict:
        crm, hsm, escf, gud = cfg.MODEL.CRM, cfg.MODEL.HSM, cfg.MODEL.ESCF, cfg.MODEL.GUD
        run = recompute if cfg.MODEL.GRADIENT_CHECKPOINTING else call
        dense = [name for name in ("E16", "E32") if name in input_shape]
        embeddings = tuple(dense) if hsm.ENABLED else (dense[-1],)
        fusion_maps = tuple(name for name in ("os32", "os16") if name in input_shape)
        decoder_maps = ("os16", "os8", "os4")
        channels = {name: shape.channels for name, shape in input_shape.items()}
        # The order in which modules are built decides their random weights: seeded runs depend on it
        fusion = cls._build_escf(escf, [channels[name] for name in fusion_maps], channels[embeddings[0]], run)
        decoder = cls._build_gud(gud, escf.DIM, [channels[name] for name in decoder_maps], run)
        return {
            "embeddings": embeddings,
            "fusion_maps": fusion_maps,
            "decoder_maps": decoder_maps,
            "crm": cls._build_crm(crm),
            "hsm": HSM(escf.DIM) if hsm.ENABLED else SingleScale(escf.DIM),
            "escf": fusion,
            "gud": decoder,
        }

    @staticmethod
    def _build_crm(keys) -> nn.Module:
        if not keys.ENABLED:
            return KeepAll()
        with arguments_from("MODEL.CRM"):
            return CRM(keys.TOP_CATEGORIES, keys.SCORE_COEFFICIENT)

    @staticmethod
    def _build_escf(keys, image_dims: Sequence[int], text_dim: int, run: Callable) -> nn.Module:
        if not keys.ENABLED:
            return PassOn()
        with arguments_from("MODEL.ESCF"):
            return ESCF(
                image_dims=tuple(image_dims),
                text_dim=text_dim,
                dim=keys.DIM,
                num_heads=keys.NUM_HEADS,
                num_layers=keys.NUM_LAYERS,
                sfm=keys.SFM,
                cfm=keys.CFM,
                ssr_ratio=keys.SSR_RATIO,
                csr_ratio=keys.CSR_RATIO,
                star=keys.STAR,
                drop_path=keys.DROP_PATH,
                run=run,
            )

    @staticmethod
    def _build_gud(keys, dim: int, image_dims: Sequence[int], run: Callable) -> nn.Module:
        if not keys.ENABLED:
            return HeadOnly(dim)
        with arguments_from("MODEL.GUD", dim="MODEL.ESCF.DIM"):
            return GUD(
                dim=dim,
                image_dims=tuple(image_dims),
                guidance_os16=keys.GUIDANCE_OS16,
                stop_gradient=keys.STOP_GRADIENT,
                kernel_size=keys.KERNEL_SIZE,
                run=run,
            )

    def forward(
        self, features: dict[str, Tensor], text: Tensor, num_kept: NumKept, present: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Segment.

        Args:
            features: the feature maps and dense embeddings of the encoder, by name.
            text: (T, D) text embeddings of unit length.
            num_kept: K.
            present: (B, T) bool, the classes of the ground truth, which CRM keeps (training).

        Returns:
            Logits (B, K, h, w), at stride 4 with GUD and 16 without it, and the ids of the kept classes (B, K),
            ascending. An image that keeps fewer classes than another has -1 behind its ids, and logits of no meaning.
        """
        x, kept = self.fuse(features, text, num_kept, present)
        return self.gud(x, [guide(features[name]) for name in self.decoder_maps]), kept

    def costs(self, dense: Tensor, text: Tensor, size: tuple[int, int]) -> Tensor | CostBlocks:
        """What CRM reads: the cost map of (B, D, h, w) and (T, D), as (B, T, *size), of many classes in blocks."""
        if self.crm.takes_blocks and not torch.compiler.is_compiling() and text.shape[0] > BLOCK:
            return CostBlocks(dense, text, size)
        return resize(cost_map(dense, text), size)

    def fuse(
        self,
        features: dict[str, Tensor],
        text: Tensor,
        num_kept: NumKept,
        present: Tensor | None = None,
        num_layers: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """CRM, HSM and ESCF: the fused cost embedding, before GUD decodes it.

        Args:
            features, text, num_kept, present: see ``forward``.
            num_layers: number of ESCF layers to run; None for all.

        Returns:
            The cost embedding (B, K, H, W, C), and the ids of the kept classes (B, K), ascending; see ``forward``.
        """
        os16 = features["os16"]
        size = (os16.shape[-2], os16.shape[-1])
        kept = self.crm(self.costs(features[self.embeddings[0]], text, size), num_kept, present)  # (B, K)
        named = slots_with_name(kept) if isinstance(num_kept, AutoKept) else None
        text = text[kept if named is None else kept.clamp(min=0)]  # (B, K, D)
        x = self.hsm(*(cost_map(features[name], text) for name in self.embeddings), size=size)  # (B, K, H, W, C)
        return self.escf(x, [guide(features[name]) for name in self.fusion_maps], text, num_layers, named), kept


def slots_with_name(kept: Tensor) -> Tensor | None:
    """Which slots hold a class: kept ids (B, K), -1 for none -> (B, K) bool, or None where all do."""
    named = kept >= 0
    return None if not torch.compiler.is_compiling() and bool(named.all()) else named


def guide(x: Tensor) -> Tensor:
    """Clamp a feature map that guides ESCF or GUD."""
    return x.clamp(-GUIDANCE_LIMIT, GUIDANCE_LIMIT)
