"""The one ``PathManager`` through which files are opened: local paths and URLs."""

from iopath.common.file_io import HTTPURLHandler
from iopath.common.file_io import PathManager as _PathManager

from ..outside import outside

__getattr__ = outside(globals())

__all__ = ["PathManager"]

PathManager = _PathManager()
PathManager.register_handler(HTTPURLHandler())
