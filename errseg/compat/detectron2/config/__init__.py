"""Configuration: ``CfgNode``, Detectron2's default keys, and ``configurable``."""

from ..outside import outside
from .config import CfgNode, configurable, get_cfg

__getattr__ = outside(globals())

__all__ = ["CfgNode", "configurable", "get_cfg"]
