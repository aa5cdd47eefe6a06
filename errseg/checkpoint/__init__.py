"""Checkpoints: ours, written whole or not at all, and the authors' released ones."""

from ..modeling.err_seg.released import from_official, is_official, released_clip_name, to_official
from .checkpointer import ERRSegCheckpointer, load_state_dict_file
from .last import last_checkpoint
from .resume import check_trainer

__all__ = [
    "ERRSegCheckpointer",
    "check_trainer",
    "from_official",
    "is_official",
    "last_checkpoint",
    "load_state_dict_file",
    "released_clip_name",
    "to_official",
]
