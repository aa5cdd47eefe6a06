"""The embeddings of a mini CLIP, which its pretraining trains: of crops, and of every location of a scene.

Shapes: B images, D embedding width, H x W pixels.
"""

import torch
import torch.nn.functional as F
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from errseg.modeling.clip.policies import FinetunePolicy, everything
from errseg.modeling.clip.vit import ViTEncoder

__all__ = ["dense_embeddings", "image_embeddings"]


def image_embeddings(clip: nn.Module, images: Tensor) -> Tensor:
    """CLIP's embeddings of whole images of any size: (B, 3, H, W) normalised -> (B, D) of unit length.

    A ViT's table of positions is resized to the image's patches; open_clip's own ``encode_image`` takes one size alone.
    """
    if not isinstance(clip.visual, VisionTransformer):
        return clip.encode_image(images, normalize=True)
    _, tokens = _encoder_of(clip).tokens(images, ())
    return F.normalize(clip.visual.ln_post(tokens[:, 0]) @ clip.visual.proj, dim=-1)


def dense_embeddings(clip: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
    """The dense embeddings of images: (B, 3, H, W) normalised -> maps (B, D, h, w) of unit length.

    Those of a ConvNeXt are ERR-Seg's, at strides 16 and 32. That of a ViT, one for each patch, is DeOP's with plain
    patch severance of the last block: each patch attends to itself alone there.
    """
    return _of_vit(clip, images) if isinstance(clip.visual, VisionTransformer) else _of_convnext(clip, images)


def _encoder_of(clip: nn.Module) -> ViTEncoder:
    return ViTEncoder(clip, policy=FinetunePolicy(everything, everything))


def _of_vit(clip: nn.Module, images: Tensor) -> tuple[Tensor]:
    encoder = _encoder_of(clip)
    height, width = (side // encoder.patch_size for side in images.shape[-2:])
    itself = torch.full((1 + height * width,) * 2, -torch.inf, device=images.device).fill_diagonal_(0)
    _, tokens = encoder.tokens(images, (), {len(clip.visual.transformer.resblocks) - 1: itself})
    return (F.normalize(encoder.dense_embedding(tokens, (height, width)), dim=1),)


def _of_convnext(clip: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """E16 and E32. ERR-Seg's second downsampling layer has its own weights, initialised from stage 4; here both use
    the same weights.
    """
    trunk, head = clip.visual.trunk, clip.visual.head
    os16 = trunk.stages[2](trunk.stages[1](trunk.stages[0](trunk.stem(images))))
    norm, conv = trunk.stages[3].downsample
    normed = norm(os16)
    same_size = F.conv2d(normed, conv.weight, conv.bias, padding=1)
    same_size = F.interpolate(same_size, size=os16.shape[-2:], mode="bilinear")
    embeddings = []
    for x in (same_size, conv(normed)):
        x = trunk.head.norm(trunk.norm_pre(trunk.stages[3].blocks(x)))
        embeddings.append(F.normalize(head(x.permute(0, 2, 3, 1)), dim=-1).permute(0, 3, 1, 2))
    return embeddings[0], embeddings[1]
