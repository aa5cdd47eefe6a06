"""Rename the weights of the released ERR-Seg checkpoints to errseg's names and back, with one table, strictly."""

import re
from collections.abc import Mapping

from detectron2.config import CfgNode
from torch import Tensor

from ...config import get_cfg
from ..build import build_on_meta
from ..renaming import rename, strictly_renamed
from ..system import Released

PREFIX = "sem_seg_head.clip_model."  # only released checkpoints have keys with this prefix
SIZES = {640: "convnext_base_w_320", 768: "convnext_large_d_320"}  # text dimension -> CLIP model

RENAMES = (  # (ours, released); the first pattern that matches the whole key counts
    (r"backbone\.downsample16\.(.+)", r"sem_seg_head.clip_model.visual.modify_downsample.\1"),
    (r"backbone\.clip\.(.+)", r"sem_seg_head.clip_model.\1"),
    (r"sem_seg_head\.hsm\.proj16\.(.+)", r"sem_seg_head.decoder.corr_proj_convs.0.0.\1"),
    (r"sem_seg_head\.hsm\.proj32\.(.+)", r"sem_seg_head.decoder.corr_proj_convs.1.0.\1"),
    (r"sem_seg_head\.hsm\.fuse\.(.+)", r"sem_seg_head.decoder.low_corr_fusion.\1"),
    (r"sem_seg_head\.escf\.image_guidance\.proj\.(.+)", r"sem_seg_head.decoder.img_guidance_projection_agg.\1"),
    (r"sem_seg_head\.escf\.image_guidance\.fuse\.(.+)", r"sem_seg_head.decoder.low_img_fusion.\1"),
    (r"sem_seg_head\.escf\.text_guidance\.(.+)", r"sem_seg_head.decoder.text_guidance_projection.\1"),
    (
        r"sem_seg_head\.gud\.stages\.(\d)\.guidance\.proj\.(.+)",
        r"sem_seg_head.decoder.img_guidance_projection_dec.\1.\2",
    ),
    (r"sem_seg_head\.gud\.head\.(.+)", r"sem_seg_head.decoder.head.\1"),
)
FUSION = re.compile(r"sem_seg_head\.escf\.layers\.(\d)\.(fusion\.)?(.+)")
FUSION_RENAMES = (
    (r"reduce_([kv])\.conv\.", r"attention.sr_\1."),
    (r"reduce_([kv])\.norm\.", r"attention.norm_\1."),
    (r"^dwconv\.", "mlp.dwconv.dwconv."),
)
UPSAMPLING = re.compile(r"sem_seg_head\.gud\.stages\.(\d)\.(up|refine)\.(.+)")


def recognises(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the released checkpoints' names."""
    return any(key.startswith(PREFIX) for key in state_dict)


def released_config(state_dict: Mapping[str, Tensor]) -> CfgNode | None:
    """The configuration of a released checkpoint, by its size; None where the size is unknown."""
    projection = state_dict.get(f"{PREFIX}text_projection")
    name = None if projection is None or not projection.ndim else SIZES.get(projection.shape[-1])
    if name is None:
        return None
    cfg = get_cfg()
    cfg.MODEL.CLIP.NAME = name
    return cfg


def from_released(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A released checkpoint's state dict under errseg's names.

    Args:
        state_dict: exactly the keys of the base or the large released model.

    Raises:
        UsageError: keys are missing or unknown, or have another shape; the message names them.
    """
    return strictly_renamed(state_dict, _expected(state_dict), "ERR-Seg")


def to_released(key: str) -> str:
    """The released name of one of our parameters."""
    if match := FUSION.fullmatch(key):
        layer, rest = int(match[1]), match[3]
        for ours, released in FUSION_RENAMES:
            rest = re.sub(ours, released, rest)
        kind = "class" if match[2] else "spatial"
        return f"sem_seg_head.decoder.aggregator_layers.{layer // 2}.{kind}_fusion.sa.{rest}"
    if match := UPSAMPLING.fullmatch(key):
        part = "up_conv" if match[2] == "up" else "textual_fusion"
        return f"sem_seg_head.decoder.up_decoder{int(match[1]) + 1}.{part}.{match[3]}"
    return rename(key, RENAMES)


def _expected(state_dict: Mapping[str, Tensor]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """For a checkpoint of this size, by the released name: our name and the shape."""
    model = build_on_meta(released_config(state_dict) or get_cfg())  # unknown size: the keys of the base model
    return {to_released(key): (key, tuple(value.shape)) for key, value in model.state_dict().items()}


RELEASED = Released(recognises, released_config, from_released, to_released)
