"""CLIP's two towers: building, loading, prompts and encoding."""

from .build import RANDOM, build_clip, has_quick_gelu, load_clip_weights
from .config import model_config

__all__ = ["RANDOM", "build_clip", "has_quick_gelu", "load_clip_weights", "model_config"]
