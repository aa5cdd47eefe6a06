"""What a result came from: versions, weights, configuration, date."""

import datetime
import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import detectron2
import torch
from detectron2.config import CfgNode
from torch import nn

import errseg
from errseg.config import as_data

__all__ = ["file_digest", "provenance", "state_digest", "versions"]

PACKAGES = {"torchvision": "torchvision", "numpy": "numpy", "open_clip": "open_clip_torch", "timm": "timm"}
BLOCK = 1 << 20


def provenance(cfg: CfgNode, model: nn.Module, weights: str | Path | None) -> dict[str, Any]:
    """What belongs beside the numbers of an evaluation.

    Args:
        cfg: the configuration.
        model: the model that is evaluated.
        weights: the file that its weights were read from; None where they are from no file, as within training.

    Returns:
        ``date`` (UTC), ``weights`` (``file`` and its ``sha256``, and ``state_sha256`` of the parameters and buffers
        themselves, the same whatever file they come in), ``versions``, ``config``.
    """
    file = {"file": str(weights), "sha256": file_digest(weights)} if weights else {"file": None, "sha256": None}
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "weights": {**file, "state_sha256": state_digest(model.state_dict().items())},
        "versions": versions(),
        "config": as_data(cfg),
    }


def versions() -> dict[str, str]:
    """The versions of what computes; ``detectron2`` says too whether it is the real one or errseg's stand-in."""
    ours = Path(detectron2.__file__).is_relative_to(Path(errseg.__file__).parent)
    return {
        "errseg": errseg.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        "detectron2": f"{detectron2.__version__} ({'errseg/compat' if ours else 'real'})",
        **{name: importlib.metadata.version(package) for name, package in PACKAGES.items()},
    }


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def state_digest(state: Iterable[tuple[str, torch.Tensor]]) -> str:
    """SHA-256 of tensors: their names, types, shapes and values, on whatever device they are."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state, key=lambda item: item[0]):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
