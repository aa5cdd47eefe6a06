"""The CLIP encoders: feature maps, dense image embeddings aligned with text, and text embeddings (III-A, III-B).

Both towers are open_clip's, unchanged; what segmentation adds stands beside them.

Shapes: B images of R x R pixels, D the dimension that image and text share, L tokens a prompt.
"""

import copy

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.modeling import BACKBONE_REGISTRY, Backbone, ShapeSpec
from open_clip.transformer import VisionTransformer
from timm.models.convnext import ConvNeXt
from torch import Tensor, nn

from ...errors import UsageError
from ..layers import StopGradient, call, recompute, resize
from .build import RANDOM, build_clip, load_clip_weights
from .text_tower import encode_prompts


class CLIPEncoder(Backbone):
    """What the encoders share: the text tower, and which parameters train.

    Args:
        clip: an open_clip model with an image and a text tower.
        finetune_image, finetune_text: train the tower's chosen weights; everything else in CLIP is frozen.
        clip_source: where its weights are from, for the log.
        gradient_checkpointing: keep fewer activations in training and compute them twice.
    """

    def __init__(
        self,
        clip: nn.Module,
        finetune_image: bool,
        finetune_text: bool,
        clip_source: str,
        gradient_checkpointing: bool = False,
    ):
        super().__init__()
        self.run = recompute if gradient_checkpointing else call
        self.clip = clip
        self.clip_source = clip_source
        for name, parameter in clip.named_parameters():
            image = name.startswith("visual.")
            tuned = finetune_image if image else finetune_text
            parameter.requires_grad_(tuned and (self.tunes_image(name) if image else _tunes_transformer(name)))

    @staticmethod
    def tunes_image(name: str) -> bool:
        """Whether fine-tuning trains this parameter of the image tower."""
        raise NotImplementedError

    @property
    def embed_dim(self) -> int:
        """D."""
        return self.clip.text_projection.shape[-1]

    @property
    def text_is_trained(self) -> bool:
        """Whether training changes the text embeddings."""
        return any(p.requires_grad for n, p in self.clip.named_parameters() if not n.startswith("visual."))

    def image_parts(self) -> list[nn.Module]:
        """What encodes images."""
        return [module for name, module in self.named_children() if name != "clip"] + [self.clip.visual]

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(N, L) token ids, best left on the CPU -> (N, D) embeddings of unit length."""
        return F.normalize(encode_prompts(self.clip, tokens, self.run).float(), dim=-1)


def _tunes_transformer(name: str) -> bool:
    return name.endswith(("attn.in_proj_weight", "mlp.c_fc.weight"))


@BACKBONE_REGISTRY.register()
class ConvNeXtCLIP(CLIPEncoder):
    """ConvNeXt-CLIP: four feature maps and the dense embeddings E32 and E16 (Eqs. 1 and 2).

    E16 runs stage 4 a second time, behind a downsampling that keeps the size of stage 3's output.

    Args:
        clip: an open_clip model whose image tower is a timm ConvNeXt.
        finetune_image, finetune_text, clip_source, gradient_checkpointing: as CLIPEncoder's.
        hierarchical: give E16 beside E32 (the HSM).
        stage4_gradient: "both", "E16" or "E32": through which of them stage 4 is trained (Table VI). The other one's
            gradient stops where it leaves the encoder, that of os32 with E32's, so that stages 1 to 3 lose it too.
    """

    @configurable
    def __init__(
        self,
        clip: nn.Module,
        finetune_image: bool = True,
        finetune_text: bool = True,
        hierarchical: bool = True,
        stage4_gradient: str = "both",
        clip_source: str = RANDOM,
        gradient_checkpointing: bool = False,
    ):
        super().__init__(clip, finetune_image, finetune_text, clip_source, gradient_checkpointing)
        if stage4_gradient not in ("both", "E16", "E32"):
            raise UsageError(f"MODEL.HSM.STAGE4_GRADIENT = {stage4_gradient!r}; give 'both', 'E16' or 'E32'.")
        if stage4_gradient == "E16" and not hierarchical:
            raise UsageError("MODEL.HSM.STAGE4_GRADIENT is 'E16', which MODEL.HSM.ENABLED False removes; give 'both'.")
        if not isinstance(getattr(clip.visual, "trunk", None), ConvNeXt):
            raise UsageError(_wrong_tower("ConvNeXtCLIP", clip, "a ConvNeXt, such as convnext_base_w_320"))
        self.downsample16 = size_keeping_downsample(clip.visual.trunk) if hierarchical else None
        self.stop32 = StopGradient() if stage4_gradient == "E16" else nn.Identity()
        self.stop16 = StopGradient() if stage4_gradient == "E32" else nn.Identity()

    @classmethod
    def from_config(cls, cfg, input_shape=None) -> dict:
        return {
            **clip_arguments(cfg),
            "hierarchical": cfg.MODEL.HSM.ENABLED,
            "stage4_gradient": cfg.MODEL.HSM.STAGE4_GRADIENT,
        }

    @staticmethod
    def tunes_image(name: str) -> bool:
        return "gamma" in name or (name.endswith("weight") and ("mlp" in name or "conv_dw" in name))

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of every map that ``forward`` gives."""
        widths = [info["num_chs"] for info in self.clip.visual.trunk.feature_info]
        shapes = {f"os{4 << i}": ShapeSpec(channels=widths[i], stride=4 << i) for i in range(4)}
        shapes["E32"] = ShapeSpec(channels=self.embed_dim, stride=32)
        if self.downsample16 is not None:
            shapes["E16"] = ShapeSpec(channels=self.embed_dim, stride=16)
        return shapes

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, R, R) normalised -> os4, os8, os16, os32 (B, C, R/s, R/s); E32, E16 (B, D, R/s, R/s)."""
        trunk = self.clip.visual.trunk
        outputs, x = {}, trunk.stem(images.to(trunk.stem[0].weight.dtype))
        for i, stage in enumerate(trunk.stages):
            x = outputs[f"os{4 << i}"] = self.run(stage, x)
        outputs["os32"] = self.stop32(outputs["os32"])
        outputs["E32"] = self.dense_embedding(outputs["os32"])
        if self.downsample16 is not None:
            outputs["E16"] = self.stop16(self.dense_embedding(self.stage4_at_stride16(outputs["os16"])))
        return outputs

    def stage4_at_stride16(self, os16: Tensor) -> Tensor:
        """Stage 4 without its downsampling: (B, C3, H, W) -> (B, C4, H, W)."""
        x = resize(self.downsample16(os16), os16.shape[-2:])
        return self.run(self.clip.visual.trunk.stages[3].blocks, x)

    def dense_embedding(self, features: Tensor) -> Tensor:
        """CLIP's head at every location on its own: (B, C4, H, W) -> (B, D, H, W)."""
        visual = self.clip.visual
        x = visual.trunk.head.norm(visual.trunk.norm_pre(features))
        return visual.head(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def train(self, mode: bool = True) -> "ConvNeXtCLIP":
        """As ``nn.Module.train``, but batch norms (CLIP models of ours have them) keep CLIP's statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


def size_keeping_downsample(trunk: nn.Module) -> nn.Sequential:
    """Stage 4's downsample made to keep the size but for one: norm, zero-pad by one, 2x2 convolution of stride 1.

    A frozen copy, starting from stage 4's weights.
    """
    norm, conv = copy.deepcopy(trunk.stages[3].downsample)
    conv.stride = (1, 1)
    return nn.Sequential(norm, nn.ZeroPad2d(1), conv).requires_grad_(False)


@BACKBONE_REGISTRY.register()
class ViTCLIP(CLIPEncoder):
    """Plain ViT-CLIP (Table XII): the patch tokens are E16, and middle blocks guide the decoder, all at stride 16.

    Args:
        clip: an open_clip model whose image tower is a VisionTransformer of patch size 16.
        finetune_image, finetune_text, clip_source, gradient_checkpointing: as CLIPEncoder's.
    """

    @configurable
    def __init__(
        self,
        clip: nn.Module,
        finetune_image: bool = False,
        finetune_text: bool = False,
        clip_source: str = RANDOM,
        gradient_checkpointing: bool = False,
    ):
        super().__init__(clip, finetune_image, finetune_text, clip_source, gradient_checkpointing)
        if not isinstance(clip.visual, VisionTransformer):
            raise UsageError(_wrong_tower("ViTCLIP", clip, "a ViT of patch size 16, such as ViT-B-16"))
        patch = clip.visual.patch_size
        if tuple(patch) != (16, 16):
            raise UsageError(
                f"MODEL.CLIP.NAME has a patch size of {tuple(patch)}; ViTCLIP needs a ViT of 16 x 16 patches."
            )
        depth = len(clip.visual.transformer.resblocks)
        self.guiding_blocks = {depth // 3 - 1: "os4", 2 * depth // 3 - 1: "os8", depth - 1: "os16"}

    @classmethod
    def from_config(cls, cfg, input_shape=None) -> dict:
        if cfg.MODEL.HSM.ENABLED:
            raise UsageError("MODEL.HSM.ENABLED is True, but ViTCLIP has one scale only; set it False.")
        return clip_arguments(cfg)

    @staticmethod
    def tunes_image(name: str) -> bool:
        return _tunes_transformer(name)

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of every map that ``forward`` gives; "os4" and "os8" name their place in the decoder."""
        width = self.clip.visual.conv1.out_channels
        shapes = {name: ShapeSpec(channels=width, stride=16) for name in self.guiding_blocks.values()}
        return shapes | {"E16": ShapeSpec(channels=self.embed_dim, stride=16)}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, R, R) normalised -> os4, os8, os16 (B, C, R/16, R/16); E16 (B, D, R/16, R/16)."""
        visual = self.clip.visual
        x = visual.conv1(images.to(visual.conv1.weight.dtype))
        size = x.shape[-2:]
        x = x.flatten(2).transpose(1, 2) + self.positions(size).to(x.dtype)
        first = (visual.class_embedding + visual.positional_embedding[0]).to(x.dtype).expand(x.shape[0], 1, -1)
        x = visual.ln_pre(torch.cat([first, x], dim=1))
        outputs = {}
        for i, block in enumerate(visual.transformer.resblocks):
            x = self.run(block, x)
            if i in self.guiding_blocks:
                outputs[self.guiding_blocks[i]] = x[:, 1:].transpose(1, 2).unflatten(2, size)
        dense = visual.ln_post(x[:, 1:]) @ visual.proj
        return outputs | {"E16": dense.transpose(1, 2).unflatten(2, size)}

    def positions(self, size: tuple[int, int]) -> Tensor:
        """The patches' positional embeddings, resized to a grid of ``size``: (h w, C)."""
        grid = self.clip.visual.positional_embedding[1:].unflatten(0, self.clip.visual.grid_size)
        grid = grid.permute(2, 0, 1).unsqueeze(0)
        if grid.shape[-2:] != torch.Size(size):
            grid = F.interpolate(grid, size=size, mode="bicubic", align_corners=False)
        return grid.squeeze(0).flatten(1).T


def _wrong_tower(backbone: str, clip: nn.Module, wanted: str) -> str:
    tower = type(getattr(clip.visual, "trunk", clip.visual)).__name__
    return f"MODEL.BACKBONE.NAME = {backbone!r}, but MODEL.CLIP.NAME has a {tower} for images; name {wanted}."


def clip_arguments(cfg) -> dict:
    """What the encoders share: the CLIP model of ``MODEL.CLIP`` with its weights, and which of them are fine-tuned."""
    clip = build_clip(cfg.MODEL.CLIP.NAME, drop=cfg.MODEL.CLIP.DROP, drop_path=cfg.MODEL.CLIP.DROP_PATH)
    return {
        "clip": clip,
        "clip_source": load_clip_weights(clip, cfg.MODEL.CLIP.NAME, cfg.MODEL.CLIP.PRETRAINED),
        "finetune_image": cfg.MODEL.CLIP.FINETUNE_IMAGE,
        "finetune_text": cfg.MODEL.CLIP.FINETUNE_TEXT,
        "gradient_checkpointing": cfg.MODEL.GRADIENT_CHECKPOINTING,
    }
