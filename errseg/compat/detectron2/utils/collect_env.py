"""A table of what is installed, for logs and bug reports."""

import importlib
import platform

import torch
from tabulate import tabulate

from .. import __version__
from ..outside import outside

__getattr__ = outside(globals())

__all__ = ["collect_env_info"]


def collect_env_info() -> str:
    """Versions of the system, of torch and of the libraries that are used, and the names of the GPUs."""
    rows = [("Platform", platform.platform()), ("Python", platform.python_version()), ("detectron2", __version__)]
    rows += [("PyTorch", torch.__version__), ("CUDA of PyTorch", torch.version.cuda)]
    rows += [(f"GPU {i}", torch.cuda.get_device_name(i)) for i in range(torch.cuda.device_count())]
    for module in ("numpy", "PIL", "torchvision", "fvcore", "iopath", "cv2"):
        try:
            rows.append((module, getattr(importlib.import_module(module), "__version__", "unknown version")))
        except ImportError as error:
            rows.append((module, f"not importable: {error}"))
    return tabulate(rows)
