"""A small generated world, for which errseg's whole recipe runs on two CPU cores within minutes and downloads nothing.

Importing it makes timm know the mini CLIP's image tower; ``register_mini`` registers its data sets.
"""

from .clip import CLIP_CONFIG
from .datasets import DATASET_NAMES, register_mini

__all__ = ["CLIP_CONFIG", "DATASET_NAMES", "register_mini"]
