"""The public names of errseg. Importing this module registers the models and the data sets."""

from . import checkpoint, config
from .api import Result, Segmenter, load
from .config import get_cfg
from .data import register_all
from .mini import register_mini
from .modeling import build_model

__all__ = ["Result", "Segmenter", "build_model", "checkpoint", "config", "get_cfg", "load"]

register_all()
register_mini()
