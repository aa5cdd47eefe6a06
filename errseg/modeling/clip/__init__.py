"""CLIP's two towers: building, loading, prompts and encoding."""

from .build import RANDOM, build_clip, load_clip_weights

__all__ = ["RANDOM", "build_clip", "load_clip_weights"]
