"""Rename the weights of the released DeOP checkpoint to errseg's names and back, strictly (section 13)."""

from collections.abc import Mapping

import torch
from detectron2.config import CfgNode
from torch import Tensor

from ...config import config_path, load_config
from ...errors import UsageError
from ..build import build_on_meta
from ..renaming import rename, strictly_renamed
from ..system import Released

__all__ = ["CONFIG", "RELEASED", "to_released"]

CONFIG = "deop_vit_b16"
CLIP = "clip_adapter.clip_model."
RENAMES = (  # (ours, released); the first pattern that matches the whole key counts
    (r"backbone\.learned\.input", rf"{CLIP}visual.learned_position"),
    (r"backbone\.learned\.blocks\.(\d+)", rf"{CLIP}visual.transformer.resblocks.\1.learned_position"),
    (r"backbone\.clip\.(.+)", rf"{CLIP}\1"),
    (r"prompt\.prefix", "clip_adapter.prompt_learner.prefix_prompt"),
    (r"classifier\.no_object", "clip_adapter.non_object_embedding"),
    (r"proposals\.backbone\.(.+)", r"backbone.\1"),
    (r"proposals\.(pixel_decoder|predictor)\.(.+)", r"sem_seg_head.\1.\2"),
    (r"anchors\.anchors\.weight", "query_embedding.weight"),
    (r"anchors\.layers\.(\d+)\.multihead_attn\.(.+)", r"decoder.layers.\1.multihead_attn_my.\2"),
    (r"anchors\.outlayer\.heatmaps\.(.+)", r"decoder.outlayer.multihead_attn_my.\1"),
    (r"anchors\.(.+)", r"decoder.\1"),
)
SIGNALS = {  # released copies of rows of the token embedding
    f"clip_adapter.prompt_learner.{name}_signal": row
    for name, row in {"start": 49406, "dot": 269, "end": 49407, "pad": 0}.items()
}
CONSTANT = "criterion.empty_weight"  # of stage 2's loss
SHAPES = {  # sizes of a released model, by the key that they are read from
    "MODEL.PROMPT.LENGTH": "clip_adapter.prompt_learner.prefix_prompt",
    "MODEL.PROPOSALS.NUM_QUERIES": "query_embedding.weight",
}


def recognises(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the names of the released checkpoint."""
    return "query_embedding.weight" in state_dict and any(key.startswith(CLIP) for key in state_dict)


def released_config(state_dict: Mapping[str, Tensor]) -> CfgNode:
    """The configuration of a released checkpoint."""
    cfg = load_config(config_path(CONFIG))
    cfg.defrost()
    for key, name in SHAPES.items():
        if name in state_dict and state_dict[name].ndim:
            cfg.merge_from_list([key, len(state_dict[name])])
    return cfg


def from_released(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The released checkpoint's state dict under errseg's names.

    Dropped are the four ``prompt_learner.*_signal``, which repeat rows of the token embedding, and a constant of the
    loss.

    Raises:
        UsageError: keys are missing or unknown, or have another shape; or a ``*_signal`` differs from its row.
    """
    own = build_on_meta(released_config(state_dict)).state_dict()
    expected = {to_released(key): (key, tuple(value.shape)) for key, value in own.items()}
    width = own["prompt.prefix"].shape[1]
    dropped = {**dict.fromkeys(SIGNALS, (1, width)), CONSTANT: tuple(state_dict.get(CONSTANT, torch.empty(1)).shape)}
    renamed = strictly_renamed(state_dict, expected | {key: (key, shape) for key, shape in dropped.items()}, "DeOP")
    tokens = renamed["backbone.clip.token_embedding.weight"]
    for key, row in SIGNALS.items():
        if not torch.allclose(renamed[key].float(), tokens[row].float(), rtol=1e-2, atol=1e-4):
            raise UsageError(f"{key} differs from row {row} of the token embedding; get the file again.")
    return {key: value for key, value in renamed.items() if key not in dropped}


def to_released(key: str) -> str:
    """The released name of one of our parameters."""
    return rename(key, RENAMES)


RELEASED = Released(recognises, released_config, from_released, to_released)
