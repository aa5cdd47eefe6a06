"""SED's encoder: ConvNeXt-CLIP with one dense embedding, at stride 32 (section 2).

Shapes: B images of R x R pixels, D the dimension that image and text share, C_i the channels of stage i.
"""

from detectron2.config import configurable
from detectron2.modeling import BACKBONE_REGISTRY

from ...errors import ArgumentError
from ..clip.build import CLIPModel
from ..clip.convnext import ConvNeXtEncoder
from ..clip.encoder import clip_arguments
from ..clip.policies import Chooses, FinetunePolicy, everything, nothing, used_in_text

FINETUNE: dict[str, Chooses] = {  # MODEL.CLIP.FINETUNE -> the trained parameters of the image tower
    "full": everything,
    "conv": lambda name: "conv" in name,
    "mlp": lambda name: "mlp" in name,
    "full_res5": lambda name: "stages.3" in name,
    "none": nothing,
}


@BACKBONE_REGISTRY.register()
class DenseConvNeXtCLIP(ConvNeXtEncoder):
    """ConvNeXt-CLIP: four feature maps and the dense embedding E32.

    Args:
        clip: an open_clip model whose image tower is a timm ConvNeXt.
        arguments: further arguments of ``CLIPEncoder``.
    """

    @configurable
    def __init__(self, clip: CLIPModel, **arguments):
        super().__init__(clip, **arguments)

    @classmethod
    def from_config(cls, cfg, input_shape=None) -> dict:
        return clip_arguments(cfg, policy_of(cfg.MODEL.CLIP.FINETUNE))


def policy_of(finetune: str) -> FinetunePolicy:
    """Which of CLIP's parameters are trained.

    Args:
        finetune: a key of ``FINETUNE``.

    Raises:
        ArgumentError: it is another word.
    """
    if finetune not in FINETUNE:
        *words, last = map(repr, FINETUNE)
        raise ArgumentError("{finetune} = %r; give " + f"{', '.join(words)} or {last}.", finetune)
    return FinetunePolicy(FINETUNE[finetune], used_in_text)
