"""ERR-Seg's ConvNeXt encoder (III-A, III-B): stage 4 runs a second time at stride 16, for the dense embedding E16.

Shapes: B images of R x R pixels, D the dimension that image and text share, C_i the channels of stage i.
"""

import copy
from typing import Any

from detectron2.config import configurable
from detectron2.modeling import BACKBONE_REGISTRY, ShapeSpec
from torch import Tensor, nn

from ...errors import ArgumentError
from ..clip.build import CLIPModel
from ..clip.convnext import ConvNeXtEncoder
from ..clip.encoder import clip_arguments
from ..clip.policies import FinetunePolicy, convnext_depthwise_mlp_scale, transformer_attention_input_mlp
from ..layers import StopGradient, resize

POLICY = FinetunePolicy(convnext_depthwise_mlp_scale, transformer_attention_input_mlp)  # Table II


@BACKBONE_REGISTRY.register()
class ConvNeXtCLIP(ConvNeXtEncoder):
    """ConvNeXt-CLIP: four feature maps and the dense embeddings E32 and E16 (Eqs. 1 and 2).

    For E16, stage 4 runs a second time, after a downsampling that keeps the size of stage 3's output.

    Args:
        clip: an open_clip model whose image tower is a timm ConvNeXt.
        hierarchical: compute E16 and E32, for the HSM; False: only E32.
        stage4_gradient: "both", "E16" or "E32": the embedding whose gradient trains stage 4 (Table VI). The gradient of
            the other one stops at the encoder's output. With "E16", the gradient of os32 stops too, so stages 1 to 3 do
            not get it either.
        arguments: further arguments of ``CLIPEncoder``.

    Raises:
        ArgumentError: ``stage4_gradient`` is another word, or is "E16" without ``hierarchical``.
    """

    @configurable
    def __init__(self, clip: CLIPModel, hierarchical: bool = True, stage4_gradient: str = "both", **arguments):
        super().__init__(clip, **arguments)
        if stage4_gradient not in ("both", "E16", "E32"):
            raise ArgumentError("{stage4_gradient} = %r; give 'both', 'E16' or 'E32'.", stage4_gradient)
        if stage4_gradient == "E16" and not hierarchical:
            raise ArgumentError(
                "{stage4_gradient} is 'E16', but {hierarchical} is False, so there is no E16; give 'both'."
            )
        self.downsample16: Any = size_keeping_downsample(clip.visual.trunk) if hierarchical else None
        self.stop32 = StopGradient() if stage4_gradient == "E16" else nn.Identity()
        self.stop16 = StopGradient() if stage4_gradient == "E32" else nn.Identity()

    @classmethod
    def from_config(cls, cfg, input_shape=None) -> dict:
        return {
            **clip_arguments(cfg, POLICY),
            "hierarchical": cfg.MODEL.HSM.ENABLED,
            "stage4_gradient": cfg.MODEL.HSM.STAGE4_GRADIENT,
        }

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of every map of ``forward``."""
        shapes = super().output_shape()
        if self.downsample16 is not None:
            shapes["E16"] = ShapeSpec(channels=self.embed_dim, stride=16)
        return shapes

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, R, R) normalised -> os4, os8, os16, os32 (B, C_i, R/s, R/s); E32, E16 (B, D, R/s, R/s)."""
        outputs = self.stages(images)
        outputs["os32"] = self.stop32(outputs["os32"])
        outputs["E32"] = self.dense_embedding(outputs["os32"])
        if self.downsample16 is not None:
            outputs["E16"] = self.stop16(self.dense_embedding(self.stage4_at_stride16(outputs["os16"])))
        return outputs

    def stage4_at_stride16(self, os16: Tensor) -> Tensor:
        """Stage 4 without its downsampling: (B, C_3, H, W) -> (B, C_4, H, W)."""
        x = resize(self.downsample16(os16), os16.shape[-2:])
        return self.run(self.clip.visual.trunk.stages[3].blocks, x)


def size_keeping_downsample(trunk: Any) -> nn.Sequential:
    """Stage 4's downsampling without a stride: norm, zero-pad by one, 2x2 convolution; the map grows by one.

    It is a frozen copy that starts with stage 4's weights.
    """
    norm, conv = copy.deepcopy(trunk.stages[3].downsample)
    conv.stride = (1, 1)
    return nn.Sequential(norm, nn.ZeroPad2d(1), conv).requires_grad_(False)
