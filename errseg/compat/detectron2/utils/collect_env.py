"""A table of what is installed, for logs and bug reports."""

import importlib
import os
import platform
import sys

import torch
from tabulate import tabulate

from .. import __version__

__all__ = ["collect_env_info"]


def collect_env_info() -> str:
    """Versions of the system, of torch, of the GPUs and of the libraries this stands on."""
    rows = [
        ("sys.platform", sys.platform),
        ("Python", platform.python_version()),
        ("detectron2", f"{__version__} @{os.path.dirname(os.path.dirname(__file__))}"),
        ("PyTorch", f"{torch.__version__} @{os.path.dirname(torch.__file__)}"),
    ]
    if torch.cuda.is_available():
        rows.append(("CUDA of PyTorch", torch.version.cuda))
        for index in range(torch.cuda.device_count()):
            major, minor = torch.cuda.get_device_capability(index)
            rows.append((f"GPU {index}", f"{torch.cuda.get_device_name(index)} (arch={major}.{minor})"))
    else:
        rows.append(("GPU available", "No: torch.cuda.is_available() == False"))
    for title, module in (
        *(("numpy", "numpy"), ("Pillow", "PIL"), ("torchvision", "torchvision")),
        *(("fvcore", "fvcore"), ("iopath", "iopath"), ("cv2", "cv2")),
    ):
        try:
            rows.append((title, getattr(importlib.import_module(module), "__version__", "unknown version")))
        except ImportError as error:
            rows.append((title, f"not importable: {error}"))
    return tabulate(rows)
