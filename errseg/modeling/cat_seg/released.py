"""Rename the weights of the released CAT-Seg checkpoints to errseg's names and back, strictly (section 13)."""

from collections.abc import Mapping
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor

from ...config import config_path, load_config
from ...errors import UsageError
from ..build import build_on_meta
from ..renaming import rename, strictly_renamed
from ..system import Released
from .spatial import window_mask

__all__ = ["CONFIGS", "MASK", "RELEASED", "config_of", "constants", "to_released"]

PREDICTOR = "sem_seg_head.predictor."
CLIP = f"{PREDICTOR}clip_model."
HEAD = f"{PREDICTOR}transformer."  # the aggregator; CLIP's towers below ``CLIP`` are called transformer too
CONFIGS = {512: "cat_seg_vit_b16", 768: "cat_seg_vit_l14"}  # by the text dimension
MASK = "attn_mask"
RENAMES = (  # (ours, released); the first pattern that matches the whole key counts
    (r"backbone\.clip\.(.+)", rf"{CLIP}\1"),
    (r"backbone\.upsample\.0\.(.+)", r"upsample1.\1"),
    (r"backbone\.upsample\.1\.(.+)", r"upsample2.\1"),
    (r"sem_seg_head\.embedding\.conv\.(.+)", rf"{HEAD}conv1.\1"),
    (r"sem_seg_head\.image_guidance\.(.+)", rf"{HEAD}guidance_projection.\1"),
    (r"sem_seg_head\.text_guidance\.(.+)", rf"{HEAD}text_guidance_projection.\1"),
    (r"sem_seg_head\.decoder\.guidance\.(.+)", rf"{HEAD}decoder_guidance_projection.\1"),
    (r"sem_seg_head\.decoder\.stages\.0\.up\.(.+)", rf"{HEAD}decoder1.up.\1"),
    (r"sem_seg_head\.decoder\.stages\.1\.up\.(.+)", rf"{HEAD}decoder2.up.\1"),
    (r"sem_seg_head\.decoder\.stages\.0\.refine\.(.+)", rf"{HEAD}decoder1.conv.double_conv.\1"),
    (r"sem_seg_head\.decoder\.stages\.1\.refine\.(.+)", rf"{HEAD}decoder2.conv.double_conv.\1"),
    (r"sem_seg_head\.decoder\.head\.(.+)", rf"{HEAD}head.\1"),
    (r"sem_seg_head\.layers\.(\d+)\.spatial\.guidance_norm\.(.+)", rf"{HEAD}layers.\1.swin_block.guidance_norm.\2"),
    (
        r"sem_seg_head\.layers\.(\d+)\.spatial\.blocks\.0\.mlp\.0\.(.+)",
        rf"{HEAD}layers.\1.swin_block.block_1.mlp.fc1.\2",
    ),
    (
        r"sem_seg_head\.layers\.(\d+)\.spatial\.blocks\.0\.mlp\.2\.(.+)",
        rf"{HEAD}layers.\1.swin_block.block_1.mlp.fc2.\2",
    ),
    (
        r"sem_seg_head\.layers\.(\d+)\.spatial\.blocks\.1\.mlp\.0\.(.+)",
        rf"{HEAD}layers.\1.swin_block.block_2.mlp.fc1.\2",
    ),
    (
        r"sem_seg_head\.layers\.(\d+)\.spatial\.blocks\.1\.mlp\.2\.(.+)",
        rf"{HEAD}layers.\1.swin_block.block_2.mlp.fc2.\2",
    ),
    (r"sem_seg_head\.layers\.(\d+)\.spatial\.blocks\.0\.(.+)", rf"{HEAD}layers.\1.swin_block.block_1.\2"),
    (r"sem_seg_head\.layers\.(\d+)\.spatial\.blocks\.1\.(.+)", rf"{HEAD}layers.\1.swin_block.block_2.\2"),
    (r"sem_seg_head\.layers\.(\d+)\.classes\.padding_token", rf"{HEAD}layers.\1.attention.padding_tokens"),
    (r"sem_seg_head\.layers\.(\d+)\.classes\.projections\.(.+)", rf"{HEAD}layers.\1.attention.attention.\2"),
    (r"sem_seg_head\.layers\.(\d+)\.classes\.mlp\.(.+)", rf"{HEAD}layers.\1.attention.MLP.\2"),
    (r"sem_seg_head\.layers\.(\d+)\.classes\.(.+)", rf"{HEAD}layers.\1.attention.\2"),
)


def recognises(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the names of the released checkpoints: CLIP's attention weights are split there."""
    return any(key.startswith(CLIP) and key.endswith("attn.q_proj_weight") for key in state_dict)


def config_of(text_dim: int) -> CfgNode | None:
    """The configuration of the released model with this text dimension; None where there is none."""
    if text_dim not in CONFIGS:
        return None
    cfg = load_config(config_path(CONFIGS[text_dim]))
    cfg.defrost()
    return cfg


def released_config(state_dict: Mapping[str, Tensor]) -> CfgNode | None:
    """The configuration of a released checkpoint, by its size; None where the size is unknown."""
    projection = state_dict.get(f"{CLIP}text_projection")
    return None if projection is None or not projection.ndim else config_of(projection.shape[-1])


def from_released(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A released checkpoint's state dict under errseg's names.

    Args:
        state_dict: exactly the keys of the base or the large released model.

    Raises:
        UsageError: keys are missing or unknown, or have another shape; or an attention mask is not the constant that it
            is in every released checkpoint.
    """
    model: Any = build_on_meta(released_config(state_dict) or config_of(512))  # unknown size: the base model's keys
    own = model.state_dict()
    expected = {to_released(key): (key, tuple(value.shape)) for key, value in own.items()}
    renamed = strictly_renamed(state_dict, expected, "CAT-Seg")
    for key, value in constants(model).items():
        given = renamed[key]
        if given.device.type != "meta" and not torch.equal(given.float().cpu(), value):
            raise UsageError(
                f"{to_released(key)} is not the mask of windows shifted by half of their side; get the file again."
            )
    return renamed


def constants(model: Any) -> dict[str, Tensor]:
    """The masks of the shifted windows, by their name in a model."""
    found = {}
    for i, layer in enumerate(model.sem_seg_head.layers):
        for j, block in enumerate(getattr(layer.spatial, "blocks", ())):
            if block.attn_mask is not None:
                mask = window_mask(block.grid, block.window, block.shift)
                found[f"sem_seg_head.layers.{i}.spatial.blocks.{j}.{MASK}"] = mask
    return found


def to_released(key: str) -> str:
    """The released name of one of our parameters."""
    return rename(key, RENAMES)


RELEASED = Released(recognises, released_config, from_released, to_released)
