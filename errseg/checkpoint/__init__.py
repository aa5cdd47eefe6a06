"""Checkpoints: ours, written whole or not at all, and the authors' released ones."""

from .checkpointer import ERRSegCheckpointer, load_state_dict_file
from .official import from_official, is_official, released_clip_name, to_official

__all__ = [
    "ERRSegCheckpointer",
    "from_official",
    "is_official",
    "load_state_dict_file",
    "released_clip_name",
    "to_official",
]
