"""The released ERR-Seg checkpoints <-> errseg's names: one table of renamings, strict in both directions."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from ..config import get_cfg
from ..errors import UsageError
from ..modeling import ERRSeg

PREFIX = "sem_seg_head.clip_model."  # what tells a released checkpoint from ours
SIZES = {640: "convnext_base_w_320", 768: "convnext_large_d_320"}  # text dimension -> CLIP model

RENAMES = (  # (released, ours); the first match of the whole key counts
    (r"sem_seg_head\.clip_model\.visual\.modify_downsample\.(.+)", r"backbone.downsample16.\1"),
    (r"sem_seg_head\.clip_model\.(.+)", r"backbone.clip.\1"),
    (r"sem_seg_head\.decoder\.corr_proj_convs\.0\.0\.(.+)", r"sem_seg_head.hsm.proj16.\1"),
    (r"sem_seg_head\.decoder\.corr_proj_convs\.1\.0\.(.+)", r"sem_seg_head.hsm.proj32.\1"),
    (r"sem_seg_head\.decoder\.low_corr_fusion\.(.+)", r"sem_seg_head.hsm.fuse.\1"),
    (r"sem_seg_head\.decoder\.img_guidance_projection_agg\.(.+)", r"sem_seg_head.escf.image_guidance.proj.\1"),
    (r"sem_seg_head\.decoder\.low_img_fusion\.(.+)", r"sem_seg_head.escf.image_guidance.fuse.\1"),
    (r"sem_seg_head\.decoder\.text_guidance_projection\.(.+)", r"sem_seg_head.escf.text_guidance.\1"),
    (r"sem_seg_head\.decoder\.img_guidance_projection_dec\.(\d)\.(.+)", r"sem_seg_head.gud.stages.\1.guidance.proj.\2"),
    (r"sem_seg_head\.decoder\.head\.(.+)", r"sem_seg_head.gud.head.\1"),
)
FUSION = re.compile(r"sem_seg_head\.decoder\.aggregator_layers\.(\d)\.(spatial|class)_fusion\.sa\.(.+)")
FUSION_RENAMES = (
    (r"attention\.sr_([kv])\.", r"reduce_\1.conv."),
    (r"attention\.norm_([kv])\.", r"reduce_\1.norm."),
    (r"mlp\.dwconv\.dwconv\.", "dwconv."),
)
UPSAMPLING = re.compile(r"sem_seg_head\.decoder\.up_decoder([123])\.(up_conv|textual_fusion)\.(.+)")


def is_official(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the released checkpoints' names."""
    return any(key.startswith(PREFIX) for key in state_dict)


def from_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A released checkpoint's state dict under errseg's names.

    Args:
        state_dict: every key of the base or the large released model, and no other.

    Raises:
        UsageError: keys are missing, unknown, or have the wrong shape; the message names them.
    """
    renamed = {rename(key): key for key in state_dict}
    unknown = [key for ours, key in renamed.items() if ours is None]
    expected = _expected_shapes(state_dict)
    unknown += [key for ours, key in renamed.items() if ours is not None and ours not in expected]
    missing = [ours for ours in expected if ours not in renamed]
    shapes = [
        f"{key} {tuple(state_dict[key].shape)}, not {tuple(expected[ours])}"
        for ours, key in renamed.items()
        if ours in expected and tuple(state_dict[key].shape) != tuple(expected[ours])
    ]
    problems = [
        f"{len(keys)} {what}: {_some(keys)}"
        for what, keys in (("unknown", unknown), ("missing (errseg's names)", missing), ("of wrong shape", shapes))
        if keys
    ]
    if problems:
        raise UsageError(f"Not a whole released ERR-Seg checkpoint; keys {'; '.join(problems)}. Get the file again.")
    return {ours: state_dict[key] for ours, key in renamed.items()}


def rename(key: str) -> str | None:
    """Our name of a released key; None where there is none."""
    if match := FUSION.fullmatch(key):
        layer, kind, rest = int(match[1]), match[2], match[3]
        for pattern, ours in FUSION_RENAMES:
            rest = re.sub(pattern, ours, rest)
        place = f"{2 * layer}" if kind == "spatial" else f"{2 * layer + 1}.fusion"
        return f"sem_seg_head.escf.layers.{place}.{rest}"
    if match := UPSAMPLING.fullmatch(key):
        part = "up" if match[2] == "up_conv" else "refine"
        return f"sem_seg_head.gud.stages.{int(match[1]) - 1}.{part}.{match[3]}"
    for pattern, ours in RENAMES:
        if match := re.fullmatch(pattern, key):
            return match.expand(ours)
    return None


def _expected_shapes(state_dict: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """Names and shapes of our model of the size that the released state dict has."""
    projection = state_dict.get(f"{PREFIX}text_projection")
    if projection is None or projection.shape[-1] not in SIZES:
        found = "missing" if projection is None else f"of shape {tuple(projection.shape)}"
        raise UsageError(
            f"Not a released ERR-Seg checkpoint: the key {PREFIX}text_projection is {found}; get the file again."
        )
    cfg = get_cfg()
    cfg.MODEL.CLIP.NAME = SIZES[projection.shape[-1]]
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        model = ERRSeg(cfg)
    return {key: value.shape for key, value in model.state_dict().items()}


def _some(keys: Iterable[str], most: int = 5) -> str:
    keys = list(keys)
    return ", ".join(keys[:most]) + (f" and {len(keys) - most} more" if len(keys) > most else "")
