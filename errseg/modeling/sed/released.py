"""Rename the weights of the released SED checkpoints to errseg's names and back, strictly (section 13)."""

from collections.abc import Mapping
from functools import lru_cache

from detectron2.config import CfgNode
from torch import Tensor

from ...config import config_path, load_config
from ..build import build_on_meta
from ..renaming import rename, strictly_renamed
from ..system import Released

__all__ = ["CONFIGS", "RELEASED", "to_released"]

PREDICTOR = "sem_seg_head.predictor."
CLIP = f"{PREDICTOR}clip_model."
TRUNK = f"{CLIP}visual.trunk."  # a ConvNeXt; other systems have a ViT under the same name
CONFIGS = {640: "sed_convnext_base", 768: "sed_convnext_large"}  # text dimension -> configuration
DECODER = f"{PREDICTOR}transformer."  # CLIP's text tower has a "transformer" too
STAGES = {"0": "decoder1", "1": "decoder2", "2": "decoder3"}
RENAMES = (  # (ours, released); the first pattern that matches the whole key counts
    (r"backbone\.clip\.(.+)", rf"{CLIP}\1"),
    (r"decoder\.embed\.conv\.(.+)", rf"{DECODER}conv1.\1"),
    (r"decoder\.aux_heads\.(\d)\.(.+)", rf"{DECODER}head\1.\2"),
    (r"decoder\.head\.(.+)", rf"{DECODER}head.\1"),
    (r"decoder\.stages\.(\d)\.skip\.features\.proj\.(.+)", rf"{DECODER}decoder_guidance_projection.\1.0.\2"),
    (r"decoder\.stages\.(\d)\.skip\.costs\.up\.(.+)", rf"{DECODER}decoder_corr_guidance_projection.\1.0.\2"),
    *(
        (rf"decoder\.stages\.{number}\.{ours}", rf"{DECODER}{stage}.{released}")
        for number, stage in STAGES.items()
        for ours, released in (
            (r"spatial\.(.+)", r"cnext.\1"),
            (r"attention\.([qkv])\.(.+)", r"attention.attention.\1.\2"),
            (r"attention\.mlp\.(.+)", r"attention.MLP.\1"),
            (r"attention\.(norm\d\..+)", r"attention.\1"),
            (r"skip\.up\.(.+)", r"up.\1"),
            (r"skip\.refine\.(.+)", r"conv.double_conv.\1"),
        )
    ),
)


def recognises(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the names of a released checkpoint."""
    return any(key.startswith(TRUNK) for key in state_dict)


def released_config(state_dict: Mapping[str, Tensor]) -> CfgNode | None:
    """The configuration of a released checkpoint, by its size; None where the size is unknown."""
    name = _name(state_dict)
    return None if name is None else _config(name)


def from_released(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A released checkpoint's state dict under errseg's names.

    Args:
        state_dict: exactly the keys of the base or the large released model.

    Raises:
        UsageError: keys are missing or unknown, or have another shape; the message names them.
    """
    return strictly_renamed(state_dict, _expected(_name(state_dict) or CONFIGS[640]), "SED")  # unknown: the base model


def to_released(key: str) -> str:
    """The released name of one of our parameters."""
    return rename(key, RENAMES)


def _name(state_dict: Mapping[str, Tensor]) -> str | None:
    """The configuration's name."""
    projection = state_dict.get(f"{CLIP}text_projection")
    return None if projection is None or not projection.ndim else CONFIGS.get(projection.shape[-1])


def _config(name: str) -> CfgNode:
    cfg = load_config(config_path(name))
    cfg.defrost()
    return cfg


@lru_cache(maxsize=2)
def _expected(name: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """For a checkpoint of a configuration, by the released name: our name and the shape."""
    own = build_on_meta(_config(name)).state_dict()
    return {to_released(key): (key, tuple(value.shape)) for key, value in own.items()}


RELEASED = Released(recognises, released_config, from_released, to_released)
