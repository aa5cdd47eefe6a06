"""A small generated world. The whole recipe runs on it within minutes on two CPU cores, and downloads nothing.

Importing this package registers the mini CLIP's image tower in timm; ``register_mini`` registers the data sets.
"""

from .clip import CLIP_CONFIG, CLIP_CONFIGS
from .datasets import DATASET_NAMES, register_mini

__all__ = ["CLIP_CONFIG", "CLIP_CONFIGS", "DATASET_NAMES", "register_mini"]
