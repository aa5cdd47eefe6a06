"""The mini CLIPs, by image tower: a small ConvNeXt (clip.json), or a small ViT of OpenAI's design (clip_vit.json).

Importing this registers the ConvNeXt in timm as ``errseg_convnext_mini``. The ViT is open_clip's own.
"""

from timm.models import build_model_with_cfg, register_model
from timm.models.convnext import ConvNeXt
from torch import nn

__all__ = ["errseg_convnext_mini"]


@register_model
def errseg_convnext_mini(pretrained: bool = False, **kwargs: object) -> ConvNeXt:
    """A ConvNeXt that learns within minutes: BatchNorm, no layer scale, fan-in initialisation.

    Args:
        pretrained: must be false: the weights come from ``errseg mini pretrain``.
        kwargs: the arguments that timm passes to every model, and further arguments of its ``ConvNeXt``.

    Raises:
        ValueError: ``pretrained`` is true.
    """
    if pretrained:
        raise ValueError("errseg_convnext_mini has no published weights: train them with errseg mini pretrain.")
    kwargs["pretrained_cfg"] = {"input_size": (3, 64, 64), "pool_size": (2, 2), "num_classes": 0}
    trunk = build_model_with_cfg(
        ConvNeXt,
        "errseg_convnext_mini",
        pretrained=False,
        depths=(1, 1, 3, 1),
        dims=(32, 64, 128, 256),
        conv_mlp=True,
        norm_layer=nn.BatchNorm2d,
        ls_init_value=None,
        **kwargs,
    )
    trunk.apply(_initialise)
    return trunk


def _initialise(module: nn.Module) -> None:
    """Initialise by fan-in, which keeps the scale of activations. timm's small fixed deviation slows training down."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
