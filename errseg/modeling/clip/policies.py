"""Policies that choose which of CLIP's parameters are trained. The system chooses the policy, not the encoder."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

Chooses = Callable[[str], bool]  # name of a parameter -> whether it is trained


def nothing(name: str) -> bool:
    """No parameter."""
    return False


def everything(name: str) -> bool:
    """Every parameter."""
    return True


def used_in_text(name: str) -> bool:
    """Every parameter of the text tower; CLIP's scale of logits belongs to neither tower and would get no gradient."""
    return name != "logit_scale"


def convnext_depthwise_mlp_scale(name: str) -> bool:
    """A ConvNeXt's depth-wise convolutions, MLP weights and layer scales."""
    return "gamma" in name or (name.endswith("weight") and ("mlp" in name or "conv_dw" in name))


def transformer_attention_input_mlp(name: str) -> bool:
    """A transformer's weights of the attention input (queries, keys, values) and of the first MLP layer."""
    return name.endswith(("attn.in_proj_weight", "mlp.c_fc.weight"))


def of_blocks(name: str) -> bool:
    """Every parameter of a transformer's blocks."""
    return ".resblocks." in name


def attention_weights(letters: str) -> Chooses:
    """The split weights of a transformer's attention (``SplitAttention``) for some of queries, keys and values.

    Args:
        letters: some of "q", "k" and "v".
    """
    return lambda name: name.endswith(tuple(f"attn.{letter}_proj_weight" for letter in letters))


@dataclass(frozen=True)
class FinetunePolicy:
    """Which of CLIP's parameters are trained.

    Attributes:
        image: chooses in the image tower, by names such as "visual.trunk.stem.0.weight".
        text: chooses in all other modules of CLIP, by names such as "transformer.resblocks.0.mlp.c_fc.weight".
    """

    image: Chooses = nothing
    text: Chooses = nothing

    def only(self, image: bool, text: bool) -> "FinetunePolicy":
        """The policy for the towers that are True; the other towers are frozen."""
        return replace(self, image=self.image if image else nothing, text=self.text if text else nothing)

    def apply(self, clip: nn.Module) -> None:
        """Set ``requires_grad`` of every parameter of an open_clip model, in place."""
        for name, parameter in clip.named_parameters():
            chooses = self.image if name.startswith("visual.") else self.text
            parameter.requires_grad_(chooses(name))


FROZEN = FinetunePolicy()
