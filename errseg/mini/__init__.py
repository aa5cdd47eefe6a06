"""A small generated world. The whole recipe runs on it within minutes on two CPU cores, and downloads nothing.

After this package is imported, timm has the mini CLIP's image tower; ``register_mini`` registers the data sets.
"""

from pathlib import Path

from errseg.modeling.clip.libraries import register_in_timm

from .datasets import DATASET_NAMES, register_mini

__all__ = ["CLIP_CONFIGS", "DATASET_NAMES", "register_mini"]

HERE = Path(__file__).parent
CLIP_CONFIGS = {"convnext": HERE / "clip.json", "vit": HERE / "clip_vit.json"}

register_in_timm("errseg.mini.clip")
