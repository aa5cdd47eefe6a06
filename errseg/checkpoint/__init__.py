"""Checkpoints: errseg's own, written whole or not at all, and those that authors released."""

from ..weight_files import load_state_dict_file
from .checkpointer import ERRSegCheckpointer
from .last import last_checkpoint, weights_in
from .released import from_official, is_official, released_clip_name, released_config, to_official
from .resume import check_trainer

__all__ = [
    "ERRSegCheckpointer",
    "check_trainer",
    "from_official",
    "is_official",
    "last_checkpoint",
    "load_state_dict_file",
    "released_clip_name",
    "released_config",
    "to_official",
    "weights_in",
]
