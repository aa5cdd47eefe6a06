"""CLIP as an encoder of images and names: the base class of all encoders.

Both towers are unchanged open_clip modules. A subclass adds the modules that segmentation needs.

Shapes: D the dimension that image and text share, L tokens per prompt.
"""

from typing import Any

import torch.nn.functional as F
from detectron2.modeling import Backbone
from torch import Tensor, nn

from ..layers import call, recompute
from .build import RANDOM, CLIPModel, build_clip, load_clip_weights
from .policies import FROZEN, FinetunePolicy
from .text_cache import TextCache
from .text_tower import encode_prompts, is_plain_causal, text_digest


class CLIPEncoder(Backbone):
    """The base class of the encoders: both towers, and the policy that chooses the trained parameters.

    Args:
        clip: an open_clip model with an image and a text tower.
        policy: which of CLIP's parameters are trained; the others are frozen.
        clip_source: the source of CLIP's weights, for the log.
        gradient_checkpointing: keep fewer activations in training, and compute them again in the backward pass.
    """

    def __init__(
        self,
        clip: CLIPModel,
        policy: FinetunePolicy = FROZEN,
        clip_source: str = RANDOM,
        gradient_checkpointing: bool = False,
    ):
        super().__init__()
        self.run = recompute if gradient_checkpointing else call
        self.clip: CLIPModel = clip
        self.clip_source = clip_source
        policy.apply(clip)

    @property
    def embed_dim(self) -> int:
        """D, the dimension that image and text share."""
        return self.clip.text_projection.shape[-1]

    @property
    def text_is_trained(self) -> bool:
        """Whether training changes the text embeddings."""
        return any(p.requires_grad for n, p in self.clip.named_parameters() if not n.startswith("visual."))

    def image_modules(self) -> list[nn.Module]:
        """The modules that encode images."""
        return [module for name, module in self.named_children() if name != "clip"] + [self.clip.visual]

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        """The feature maps of images, by name, where a subclass has them. A backbone must have this method.

        Raises:
            NotImplementedError: this encoder has none; its users call its towers.
        """
        raise NotImplementedError(f"{type(self).__name__} has no feature maps of images.")

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(N, L) token ids, best left on the CPU -> (N, D) embeddings of unit length."""
        return F.normalize(encode_prompts(self.clip, tokens, self.run).float(), dim=-1)

    def text_cache(self, *others: nn.Module) -> TextCache | None:
        """The cache of the text tower's embeddings; None for a tower of another design than CLIP's.

        Args:
            others: further modules that the embeddings depend on, such as a learned prompt.
        """
        known = type(self).encode_text is CLIPEncoder.encode_text and is_plain_causal(self.clip)
        return TextCache(lambda: text_digest(self.clip, *others)) if known else None


def clip_arguments(cfg, policy: FinetunePolicy) -> dict:
    """The arguments of ``CLIPEncoder``: the CLIP model of ``MODEL.CLIP`` with its weights.

    Args:
        cfg: the configuration.
        policy: the policy of the system. MODEL.CLIP.FINETUNE_IMAGE and FINETUNE_TEXT switch it on and off by tower.
    """
    clip = build_clip(cfg.MODEL.CLIP.NAME, drop=cfg.MODEL.CLIP.DROP, drop_path=cfg.MODEL.CLIP.DROP_PATH)
    return {
        "clip": clip,
        "clip_source": load_clip_weights(clip, cfg.MODEL.CLIP.NAME, cfg.MODEL.CLIP.PRETRAINED),
        "policy": policy.only(image=cfg.MODEL.CLIP.FINETUNE_IMAGE, text=cfg.MODEL.CLIP.FINETUNE_TEXT),
        "gradient_checkpointing": cfg.MODEL.GRADIENT_CHECKPOINTING,
    }


def wrong_tower(backbone: str, clip: CLIPModel, wanted: str) -> str:
    """The message for a CLIP model whose image tower does not fit an encoder."""
    tower = type(getattr(clip.visual, "trunk", clip.visual)).__name__
    return f"MODEL.BACKBONE.NAME = {backbone!r}, but MODEL.CLIP.NAME has a {tower} for images; name {wanted}."
