"""The origin of a result: versions, weights, configuration, date."""

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
    """The origin of the scores of an evaluation, which is recorded with them.

    Args:
        cfg: the configuration.
        model: the model that is evaluated.
        weights: the file of its weights; None where they come from no file, such as during training.

    Returns:
        ``date`` (UTC), ``weights``, ``versions`` and ``config``. ``weights`` has ``file``, its ``sha256``, and
        ``state_sha256``: the digest of parameters and buffers, which does not depend on the file format.
    """
    file = {"file": str(weights), "sha256": file_digest(weights)} if weights else {"file": None, "sha256": None}
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "weights": {**file, "state_sha256": state_digest(model.state_dict().items())},
        "versions": versions(),
        "config": as_data(cfg),
    }


def versions() -> dict[str, str]:
    """The versions of the libraries; ``detectron2`` also says whether it is the real one or errseg's replacement."""
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
    """SHA-256 of the names, types, shapes and values of tensors, on any device."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state, key=lambda item: item[0]):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
