"""fvcore's ``Registry``, at Detectron2's module path."""

from fvcore.common.registry import Registry

from ..outside import outside

__getattr__ = outside(globals())

__all__ = ["Registry"]
