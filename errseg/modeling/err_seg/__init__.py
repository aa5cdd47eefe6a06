"""ERR-Seg: one file per module of the paper."""

from .head import ERRSegHead
from .model import ERRSeg

__all__ = ["ERRSeg", "ERRSegHead"]
