"""CLIP's image tower for CAT-Seg, and the features that guide the decoder (section 2).

Shapes: B images, R side of the square that the tower sees, h x w patches, C the width of a token, D the dimension that
image and text share.
"""

from collections.abc import Callable
from typing import Any

import torch
from detectron2.config import configurable
from detectron2.modeling import BACKBONE_REGISTRY, ShapeSpec
from torch import Tensor, nn

from ...errors import ArgumentError
from ..clip.build import CLIPModel
from ..clip.encoder import clip_arguments
from ..clip.libraries import open_clip
from ..clip.policies import FinetunePolicy, attention_weights, nothing, of_blocks
from ..clip.split import SplitAttention, split_attentions
from ..clip.vit import ViTEncoder
from ..layers import resize

__all__ = ["GUIDANCE_DIMS", "SplitViTCLIP"]

GUIDANCE_DIMS = (256, 128)  # channels of the features that guide the decoder's two stages
LETTERS = "qkv"


def trained(choice: str, key: str) -> Callable[[str], bool]:
    """The parameters of a tower that are trained.

    Args:
        choice: some of the letters "q", "k", "v"; or "full", all of its blocks; or "none".
        key: the argument's name, for the message.

    Raises:
        ArgumentError: it is another word.
    """
    if choice == "full":
        return of_blocks
    if choice in ("none", ""):
        return nothing
    if set(choice) <= set(LETTERS) and len(set(choice)) == len(choice):
        return attention_weights(choice)
    raise ArgumentError(f"{{{key}}} = %r; give some of the letters q, k, v, or 'full' or 'none'.", choice)


@BACKBONE_REGISTRY.register()
class SplitViTCLIP(ViTEncoder):
    """ViT-CLIP whose last block has no attention; middle blocks give features that guide the decoder.

    Args:
        clip: an open_clip model whose image tower is a VisionTransformer.
        resolution: R in pixels; images of another size are resized.
        guiding: whether features that guide the decoder are made.
        trained_image, trained_text: what is trained in each tower; see ``trained``.
        finetune_image, finetune_text: False: nothing is trained in the tower.
        arguments: further arguments of ``CLIPEncoder``.

    Raises:
        ArgumentError: R is no multiple of the patch size; or the blocks of a tower are not OpenAI's.
    """

    patch_sizes = (8, 14, 16, 32)

    @configurable
    def __init__(
        self,
        clip: CLIPModel,
        resolution: int = 384,
        guiding: bool = True,
        trained_image: str = "qv",
        trained_text: str = "qv",
        finetune_image: bool = True,
        finetune_text: bool = True,
        **arguments,
    ):
        policy = FinetunePolicy(trained(trained_image, "trained_image"), trained(trained_text, "trained_text"))
        towers = [getattr(tower, "transformer", None) for tower in (clip.visual, clip)]
        own = open_clip.transformer.ResidualAttentionBlock
        if any(type(block) is not own for tower in towers if tower for block in tower.resblocks):
            raise ArgumentError("{clip} has blocks of its own kind; it needs OpenAI's, as in ViT-B-16-quickgelu.")
        if None not in towers:
            split_attentions(clip)
        super().__init__(clip, policy=policy.only(finetune_image, finetune_text), **arguments)
        if resolution % self.patch_size:
            raise ArgumentError(
                "{resolution} = %s is no multiple of the patches' %s pixels; give a multiple.",
                resolution,
                self.patch_size,
            )
        if len(clip.visual.transformer.resblocks) < 3:
            raise ArgumentError("{clip} has less than three blocks for images; two before the last guide the decoder.")
        self.resolution = resolution
        blocks, width = list(clip.visual.transformer.resblocks), clip.visual.conv1.out_channels
        self.guiding_blocks = (len(blocks) // 3 - 1, 2 * len(blocks) // 3 - 1)
        self.upsample: Any = nn.ModuleList()
        for i, channels in enumerate(GUIDANCE_DIMS if guiding else ()):
            scale = 2 ** (i + 1)
            self.upsample.append(nn.ConvTranspose2d(width, channels, scale, scale))

    @classmethod
    def from_config(cls, cfg, input_shape=None) -> dict:
        tower, clip = cfg.MODEL.TOWER, cfg.MODEL.CLIP
        arguments = clip_arguments(cfg, FinetunePolicy())
        del arguments["policy"]
        return arguments | {
            "resolution": tower.RESOLUTION,
            "guiding": cfg.MODEL.UPSAMPLING.GUIDED,
            "trained_image": tower.TRAINED_IMAGE,
            "trained_text": tower.TRAINED_TEXT,
            "finetune_image": clip.FINETUNE_IMAGE,
            "finetune_text": clip.FINETUNE_TEXT,
        }

    @property
    def grid(self) -> int:
        """The number of patches along a side: h and w."""
        return self.resolution // self.patch_size

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of every map of ``forward``."""
        shapes = {"dense": ShapeSpec(channels=self.embed_dim, stride=self.patch_size)}
        for i, up in enumerate(self.upsample):
            shapes[f"guidance{i + 1}"] = ShapeSpec(channels=up.out_channels, stride=self.patch_size // 2 ** (i + 1))
        return shapes

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Encode images.

        Args:
            images: (B, 3, H, W) normalised; resized to R x R.

        Returns:
            "dense" (B, D, h, w), not normalised; "guidance1" (B, 256, 2 h, 2 w) and "guidance2" (B, 128, 4 h, 4 w).
        """
        x, size = self.embed(resize(images, (self.resolution, self.resolution)))
        *blocks, last = self.clip.visual.transformer.resblocks
        features = {}
        for i, block in enumerate(blocks):
            x = self.run(block, x)
            for stage, up in enumerate(self.upsample):
                if self.guiding_blocks[stage] == i:
                    features[f"guidance{stage + 1}"] = up(x[:, 1:].transpose(1, 2).unflatten(2, size))
        return features | {"dense": self.dense_embedding(self.run(without_attention, last, x), size)}

    def without_effect(self) -> list[nn.Parameter]:
        """Trained parameters that no output depends on: the last block's weights of queries and keys."""
        attention: SplitAttention = self.clip.visual.transformer.resblocks[-1].attn
        return [p for p in (attention.q_proj_weight, attention.k_proj_weight) if p.requires_grad]


def without_attention(block: Any, x: Tensor) -> Tensor:
    """The last block: each patch takes its own value, and the class token as the residual.

    (B, 1 + h w, C) -> (B, 1 + h w, C); the class token's output is its input.
    """
    y = x[:, :1] + block.ls_1(block.attn.values(block.ln_1(x[:, 1:])))
    return torch.cat([x[:, :1], y + block.ls_2(block.mlp(block.ln_2(y)))], dim=1)
