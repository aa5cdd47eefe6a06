"""ImageNet weights of a ResNet, which stage 2 starts from: files of Detectron2, torchvision and timm.

Detectron2's model zoo has pickles of numpy arrays, such as ``R-103.pkl``, the deep-stem ResNet-101. torchvision has
``resnet50``; timm's ``resnet101s`` has the deep stem too. They are read as data.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...unpickle import unpickle
from ...weight_files import check_fit, read_weight_file, unwrap
from .resnet import ResNet

__all__ = ["load_backbone_weights"]

KEY = "MODEL.PROPOSALS.BACKBONE_WEIGHTS"
STEM = "stem.conv1.weight"  # in every ResNet
RENAMES = (  # (torchvision's and timm's names, Detectron2's): one after the other
    (r"^(conv|bn)(\d)\.", r"stem.\1\2."),
    (r"^layer1\.", "res2."),
    (r"^layer2\.", "res3."),
    (r"^layer3\.", "res4."),
    (r"^layer4\.", "res5."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"\.bn(\d)\.", r".conv\1.norm."),
)
DEEP_STEM = (  # timm's deep stem is a sequence of convolutions and norms; its last norm is "bn1"
    (r"^bn1\.", "stem.conv3.norm."),
    (r"^conv1\.0\.", "stem.conv1."),
    (r"^conv1\.1\.", "stem.conv1.norm."),
    (r"^conv1\.3\.", "stem.conv2."),
    (r"^conv1\.4\.", "stem.conv2.norm."),
    (r"^conv1\.6\.", "stem.conv3."),
)
UNUSED = re.compile(r"(stem\.)?(fc|linear)\.\w+|.*\.num_batches_tracked")  # the classifier, and counters of training

logger = logging.getLogger(__name__)


def load_backbone_weights(backbone: ResNet, path: str) -> None:
    """Load ImageNet weights into a ResNet, in place. The norms of the file become the frozen norms.

    Args:
        backbone: with Detectron2's names.
        path: a pickle of Detectron2's model zoo (``*.pkl``), or a file of torch.save or safetensors with the names of
            Detectron2, torchvision or timm. In a checkpoint of a whole model, only its backbone is read. The ImageNet
            classifier is left out.

    Raises:
        UsageError: the file cannot be read, or its weights do not fit the backbone exactly.
    """
    kind = type(backbone).__name__
    remedy = f"give ImageNet weights of a {kind}, with Detectron2's, torchvision's or timm's names"
    content = _read_pickle(path, remedy) if path.endswith(".pkl") else read_weight_file(path)
    weights = _renamed(unwrap(content, path)["model"])
    check_fit(weights, backbone.state_dict(), f"{KEY} = {path!r}", remedy)
    backbone.load_state_dict(weights)
    logger.info("%s: %d tensors of the %s.", path, len(weights), kind)


def _read_pickle(path: str, remedy: str) -> dict[str, Any]:
    """The arrays of a pickle as tensors."""
    content = unpickle(path, f"{KEY} file", remedy)
    arrays = content["model"] if isinstance(content.get("model"), dict) else content
    return {"model": {name: _tensor(value) for name, value in arrays.items()}}


def _tensor(value: Any) -> Any:
    """An array as a tensor on its own memory; any other value, and an array of no numbers, as it is."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" and value.dtype.itemsize <= 8:
        return torch.from_numpy(value.astype(value.dtype.newbyteorder("=")))
    return value


def _renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The backbone's weights under Detectron2's names."""
    prefix = next((name.removesuffix(STEM) for name in weights if name.endswith(STEM)), None)
    if prefix is not None:
        own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    else:
        table = (*DEEP_STEM, *RENAMES) if "conv1.6.weight" in weights else RENAMES
        own = {_rename(name, table): value for name, value in weights.items()}
    return {name: value for name, value in own.items() if not UNUSED.fullmatch(name)}


def _rename(name: str, table: Sequence[tuple[str, str]]) -> str:
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return name
