"""fvcore's ``Registry``, at Detectron2's path."""

from fvcore.common.registry import Registry

__all__ = ["Registry"]
