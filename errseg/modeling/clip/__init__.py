"""CLIP's two towers: how they are built, loaded, prompted and run."""

from .build import RANDOM, build_clip, load_clip_weights

__all__ = ["RANDOM", "build_clip", "load_clip_weights"]
