"""Configuration: ``CfgNode``, Detectron2's default keys, and ``configurable``."""

from .config import CfgNode, configurable, get_cfg

__all__ = ["CfgNode", "configurable", "get_cfg"]
