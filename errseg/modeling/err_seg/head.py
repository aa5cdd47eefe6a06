"""The head: text and image embeddings -> cost maps -> CRM -> HSM -> ESCF -> GUD -> logits (Fig. 3 of the paper).

Shapes: B images, T classes of the vocabulary, K classes kept, D text dimension, C channels, strides os4 ... os32.
"""

from collections.abc import Callable

import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY, ShapeSpec
from torch import Tensor, nn

from ..layers import call, recompute, resize, without_autocast
from .crm import CRM, KeepAll
from .escf import ESCF
from .gud import GUD, HeadOnly
from .hsm import HSM, SingleScale

GUIDANCE_LIMIT = 16.0  # feature maps are clamped to +- this where they guide


def cost_map(dense: Tensor, text: Tensor) -> Tensor:
    """Cosines of every location and class (Eq. 3), in float32 under autocast too.

    Args:
        dense: (B, D, H, W) dense image embedding.
        text: (T, D) or (B, K, D) text embeddings of unit length.

    Returns:
        (B, T, H, W) or (B, K, H, W), the classes of a location side by side in memory, for CRM to rank.
    """
    with without_autocast(dense.device):
        x = F.normalize(dense.float(), dim=1).flatten(2).transpose(1, 2)  # (B, H W, D)
        return (x @ text.float().mT).transpose(1, 2).unflatten(2, dense.shape[-2:])


class PassOn(nn.Module):
    """The cost embedding unchanged (Table V, "w/o ESCF")."""

    def forward(self, x: Tensor, maps: list[Tensor], text: Tensor) -> Tensor:
        """(B, K, H, W, C) -> the same."""
        return x


@SEM_SEG_HEADS_REGISTRY.register()
class ERRSegHead(nn.Module):
    """HSM, CRM, ESCF and GUD in the order of the paper.

    Args:
        embeddings: which dense embeddings give cost maps, the one that CRM reads first.
        fusion_maps, decoder_maps: which feature maps guide ESCF (coarsest first) and GUD (strides 16, 8, 4).
        crm, hsm, escf, gud: the modules, or what stands in for one in an ablation.
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
        self.crm = crm
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
        fusion = (
            ESCF(
                image_dims=tuple(channels[name] for name in fusion_maps),
                text_dim=channels[embeddings[0]],
                dim=escf.DIM,
                num_heads=escf.NUM_HEADS,
                num_layers=escf.NUM_LAYERS,
                sfm=escf.SFM,
                cfm=escf.CFM,
                ssr_ratio=escf.SSR_RATIO,
                csr_ratio=escf.CSR_RATIO,
                star=escf.STAR,
                drop_path=escf.DROP_PATH,
                run=run,
            )
            if escf.ENABLED
            else PassOn()
        )
        decoder = (
            GUD(
                dim=escf.DIM,
                image_dims=tuple(channels[name] for name in decoder_maps),
                guidance_os16=gud.GUIDANCE_OS16,
                stop_gradient=gud.STOP_GRADIENT,
                kernel_size=gud.KERNEL_SIZE,
                run=run,
            )
            if gud.ENABLED
            else HeadOnly(escf.DIM)
        )
        return {
            "embeddings": embeddings,
            "fusion_maps": fusion_maps,
            "decoder_maps": decoder_maps,
            "crm": CRM(crm.TOP_CATEGORIES, crm.SCORE_COEFFICIENT) if crm.ENABLED else KeepAll(),
            "hsm": HSM(escf.DIM) if hsm.ENABLED else SingleScale(escf.DIM),
            "escf": fusion,
            "gud": decoder,
        }

    def forward(
        self,
        features: dict[str, Tensor],
        text: Tensor,
        num_classes: int,
        present: Tensor | None = None,
        see_costs: Callable[[Tensor], None] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Segment.

        Args:
            features: the encoder's maps.
            text: (T, D) text embeddings of unit length.
            num_classes: K.
            present: (B, T) bool, the classes of the ground truth, which CRM keeps (training).
            see_costs: is called with the cost maps that CRM ranks, (B, T, H, W).

        Returns:
            Logits (B, K, h, w), at stride 4 with GUD and 16 without it, and the kept classes' ids (B, K), ascending.
        """
        size = features["os16"].shape[-2:]
        costs = resize(cost_map(features[self.embeddings[0]], text), size)  # (B, T, H, W)
        if see_costs is not None:
            see_costs(costs)
        kept = self.crm(costs, num_classes, present)  # (B, K)
        text = text[kept]  # (B, K, D)
        x = self.hsm(*(cost_map(features[name], text) for name in self.embeddings), size=size)  # (B, K, H, W, C)
        x = self.escf(x, [self._guide(features[name]) for name in self.fusion_maps], text)
        return self.gud(x, [self._guide(features[name]) for name in self.decoder_maps]), kept

    @staticmethod
    def _guide(x: Tensor) -> Tensor:
        return x.clamp(-GUIDANCE_LIMIT, GUIDANCE_LIMIT)
