"""Communication, events, logging and environment."""

from ..outside import outside

__getattr__ = outside(globals())
