"""CLIP's image tower with learned positions and patch severance (section 3).

Shapes: B images, h x w patches of P x P pixels, C the width of a token, D the dimension that image and text share,
N masks.
"""

from collections.abc import Collection
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.modeling import BACKBONE_REGISTRY, ShapeSpec
from torch import Tensor, nn

from ...errors import ArgumentError
from ..clip.build import CLIPModel
from ..clip.encoder import clip_arguments
from ..clip.libraries import open_clip
from ..clip.policies import FinetunePolicy, everything, used_in_text
from ..clip.vit import ViTEncoder
from .positions import LearnedPositions, NoPositions, resize_table
from .severance import SelfAttention, attentions, regions_of

__all__ = ["SeveredViTCLIP"]

POLICY = FinetunePolicy(everything, used_in_text)


@BACKBONE_REGISTRY.register()
class SeveredViTCLIP(ViTEncoder):
    """ViT-CLIP whose last blocks are severed by masks; its output is the dense embedding F_V.

    Args:
        clip: an open_clip model whose image tower is a VisionTransformer of patch size P.
        mode: the patch severance: "masked", "plain", "guided" or "none".
        blocks: the severed blocks, counted from 0.
        grid: side of the learned position tables in patches; None: there are none.
        position_blocks: the blocks at whose entry a learned table is added.
        arguments: further arguments of ``CLIPEncoder``.

    Raises:
        ArgumentError: there is no such mode or block; or the blocks of the tower are not OpenAI's, or its table of
            positions is no square.
    """

    @configurable
    def __init__(
        self,
        clip: CLIPModel,
        mode: str = "masked",
        blocks: tuple[int, ...] = (11,),
        grid: int | None = 24,
        position_blocks: tuple[int, ...] = (1, 2, 3, 4, 5),
        **arguments,
    ):
        super().__init__(clip, **arguments)
        blocks_of_clip, grid_of_clip = clip.visual.transformer.resblocks, tuple(clip.visual.grid_size)
        if any(type(block) is not open_clip.transformer.ResidualAttentionBlock for block in blocks_of_clip):
            raise ArgumentError("{clip} has blocks of its own kind; it needs OpenAI's, as in ViT-B-16-quickgelu.")
        if grid_of_clip[0] != grid_of_clip[1]:
            raise ArgumentError("{clip} has positions for %s x %s patches; it needs a square.", *grid_of_clip)
        depth, width = len(blocks_of_clip), clip.visual.conv1.out_channels
        if grid is None:
            self.learned: Any = NoPositions()
        else:
            self.learned = LearnedPositions(width, grid, position_blocks, depth)
        self.sever(mode, blocks)

    @classmethod
    def from_config(cls, cfg, input_shape=None) -> dict:
        severance, positions = cfg.MODEL.PATCH_SEVERANCE, cfg.MODEL.POSITIONS
        return {
            **clip_arguments(cfg, POLICY),
            "mode": severance.MODE,
            "blocks": tuple(severance.BLOCKS),
            "grid": positions.GRID if positions.ENABLED else None,
            "position_blocks": tuple(positions.BLOCKS),
        }

    def sever(self, mode: str, blocks: Collection[int]) -> None:
        """Choose the patch severance. The weights do not depend on it.

        Args:
            mode: "masked", "plain", "guided" or "none".
            blocks: the severed blocks, counted from 0.

        Raises:
            ArgumentError: there is no such mode or block.
        """
        self.attentions = attentions(mode, blocks, len(self.clip.visual.transformer.resblocks))

    def image_modules(self) -> list[nn.Module]:
        return [self.clip.visual, self.learned]

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {"dense": ShapeSpec(channels=self.embed_dim, stride=self.patch_size)}

    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        """Encode images.

        Args:
            images: (B, 3, P h, P w) normalised.
            masks: (B, N, H', W') mask logits.

        Returns:
            F_V (B, D, h, w) float32, of unit length at each location.
        """
        x, size = self.embed(images)
        regions = regions_of(masks, size)
        blocks: list[Any] = list(zip(self.clip.visual.transformer.resblocks, self.attentions, strict=True))
        block, attention = blocks.pop()  # the last one
        for i, each in enumerate(blocks):
            x = self.run(through, *each, self.learned.enter(i, x, size), regions)
        x = self.learned.enter(len(blocks), x, size)
        unseen = int(attention.pointwise)  # the class token, if the patches do not attend to it
        x = self.run(through, block, attention, x[:, unseen:], regions[:, unseen:])
        return F.normalize(self.project(x[:, 1 - unseen :], size).float(), dim=1)

    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """The tokens at the entry of the first block (B, 1 + h w, C), and (h, w)."""
        visual: Any = self.clip.visual
        patches = visual.conv1(images.to(visual.conv1.weight.dtype))
        size = (patches.shape[2], patches.shape[3])
        first = visual.class_embedding.to(patches.dtype).expand(images.shape[0], 1, -1)
        x = torch.cat([first, patches.flatten(2).transpose(1, 2)], dim=1)
        return visual.ln_pre(x + self.all_positions(size).to(x.dtype)), size

    def all_positions(self, size: tuple[int, int]) -> Tensor:
        """CLIP's and the learned positions of the class token and the patches: (1 + h w, C)."""
        return resize_table(self.clip.visual.positional_embedding, size) + self.learned.at_input(size)

    def project(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Apply CLIP's last norm and projection to each patch: (B, h w, C) and (h, w) -> (B, D, h, w)."""
        visual: Any = self.clip.visual
        return (visual.ln_post(tokens) @ visual.proj).transpose(1, 2).unflatten(2, size)

    def class_embedding(self, images: Tensor) -> Tensor:
        """CLIP's embedding of whole images: (B, 3, P h, P w) normalised -> (B, D) float32 of unit length."""
        visual: Any = self.clip.visual
        x, size = self.embed(images)
        for i, block in enumerate(visual.transformer.resblocks):
            x = self.run(through, block, WHOLE, self.learned.enter(i, x, size), None)
        return F.normalize((visual.ln_post(x[:, 0]) @ visual.proj).float(), dim=-1)


WHOLE = SelfAttention()


def through(block: Any, attention: nn.Module, x: Tensor, regions: Tensor | None) -> Tensor:
    """A block of the tower with an attention of ``severance.py``: (B, L, C) and (B, L, N) -> (B, L, C)."""
    x = x + block.ls_1(attention(block.attn, block.ln_1(x), regions))
    return x + block.ls_2(block.mlp(block.ln_2(x)))
