"""ConvNeXt-CLIP as a dense encoder: the feature maps of the four stages, and CLIP's head at every location.

Shapes: B images of R x R pixels, D the dimension that image and text share, C_i the channels of stage i.
"""

from detectron2.modeling import ShapeSpec
from torch import Tensor, nn

from ...errors import UsageError
from .build import CLIPModel
from .encoder import CLIPEncoder, wrong_tower
from .libraries import timm


class ConvNeXtEncoder(CLIPEncoder):
    """A CLIP model whose image tower is a timm ConvNeXt.

    Args:
        clip: an open_clip model.
        arguments: further arguments of ``CLIPEncoder``.

    Raises:
        UsageError: the image tower is not a ConvNeXt.
    """

    def __init__(self, clip: CLIPModel, **arguments):
        if not isinstance(getattr(clip.visual, "trunk", None), timm.models.convnext.ConvNeXt):
            raise UsageError(wrong_tower(type(self).__name__, clip, "a ConvNeXt, such as convnext_base_w_320"))
        super().__init__(clip, **arguments)

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of every map that ``forward`` returns."""
        widths = [info["num_chs"] for info in self.clip.visual.trunk.feature_info]
        shapes = {f"os{4 << i}": ShapeSpec(channels=widths[i], stride=4 << i) for i in range(4)}
        return shapes | {"E32": ShapeSpec(channels=self.embed_dim, stride=32)}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, R, R) normalised -> os4, os8, os16, os32 (B, C_i, R/s, R/s); E32 (B, D, R/32, R/32)."""
        outputs = self.stages(images)
        return outputs | {"E32": self.dense_embedding(outputs["os32"])}

    def stages(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, R, R) normalised -> os4, os8, os16, os32 (B, C_i, R/s, R/s)."""
        trunk = self.clip.visual.trunk
        outputs, x = {}, trunk.stem(images.to(trunk.stem[0].weight.dtype))
        for i, stage in enumerate(trunk.stages):
            x = outputs[f"os{4 << i}"] = self.run(stage, x)
        return outputs

    def dense_embedding(self, features: Tensor) -> Tensor:
        """Apply CLIP's head at each location separately: (B, C_4, H, W) -> (B, D, H, W)."""
        visual = self.clip.visual
        x = visual.trunk.head.norm(visual.trunk.norm_pre(features))
        return visual.head(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def train(self, mode: bool = True) -> "ConvNeXtEncoder":
        """Like ``nn.Module.train``, but batch norms, which small CLIP models have, keep CLIP's statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self
