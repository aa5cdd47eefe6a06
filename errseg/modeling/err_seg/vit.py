"""ERR-Seg on a plain ViT-CLIP (Table XII).

Shapes: B images of R x R pixels, C the width of a token, D the dimension that image and text share.
"""

from detectron2.config import configurable
from detectron2.modeling import BACKBONE_REGISTRY, ShapeSpec
from torch import Tensor

from ...errors import UsageError
from ..clip.build import CLIPModel
from ..clip.encoder import clip_arguments
from ..clip.policies import FinetunePolicy, transformer_attention_input_mlp
from ..clip.vit import ViTEncoder

POLICY = FinetunePolicy(transformer_attention_input_mlp, transformer_attention_input_mlp)


@BACKBONE_REGISTRY.register()
class ViTCLIP(ViTEncoder):
    """ViT-CLIP: the patch tokens are E16, and the outputs of middle blocks guide the decoder, all at stride 16.

    Args:
        clip: an open_clip model whose image tower is a VisionTransformer of patch size 16.
        arguments: further arguments of ``CLIPEncoder``.
    """

    patch_sizes = (16,)  # the decoder upsamples from stride 16

    @configurable
    def __init__(self, clip: CLIPModel, **arguments):
        super().__init__(clip, **arguments)
        depth = len(clip.visual.transformer.resblocks)
        self.guiding_blocks = {depth // 3 - 1: "os4", 2 * depth // 3 - 1: "os8", depth - 1: "os16"}

    @classmethod
    def from_config(cls, cfg, input_shape=None) -> dict:
        if cfg.MODEL.HSM.ENABLED:
            raise UsageError("MODEL.HSM.ENABLED is True, but ViTCLIP has only one scale; set it to False.")
        return clip_arguments(cfg, POLICY)

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of every map of ``forward``; "os4" and "os8" name their place in the decoder."""
        width = self.clip.visual.conv1.out_channels
        shapes = {name: ShapeSpec(channels=width, stride=16) for name in self.guiding_blocks.values()}
        return shapes | {"E16": ShapeSpec(channels=self.embed_dim, stride=16)}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, R, R) normalised -> os4, os8, os16 (B, C, R/16, R/16); E16 (B, D, R/16, R/16)."""
        kept, tokens = self.tokens(images, self.guiding_blocks)
        outputs = {self.guiding_blocks[i]: x for i, x in kept.items()}
        size = outputs["os16"].shape[-2:]
        return outputs | {"E16": self.dense_embedding(tokens, size)}
