"""Read files of weights from any source: as data, checked, and without wrappers around the weights. Write them."""

import os
from collections.abc import Collection
from typing import Any

from ..errors import UsageError
from .fit import check_fit
from .reading import read_weight_file
from .unwrap import unwrap
from .writing import write_safetensors

__all__ = ["check_fit", "load_state_dict_file", "read_weight_file", "unwrap", "write_safetensors"]


def load_state_dict_file(path: str, expected: Collection[str] = ()) -> dict[str, Any]:
    """Read a checkpoint as data: ``*.safetensors``, or a torch file of tensors, numbers, strings and containers.

    Args:
        path: of the file.
        expected: names of the model's parameters and buffers: a dictionary with one of them is not unwrapped further.

    Returns:
        A dict with the state dict under "model", without wrappers, and with whatever a training run saved beside it.

    Raises:
        UsageError: there is no such file, it is damaged, or it holds something other than weights.
    """
    if "://" not in path and not os.path.lexists(path):
        raise UsageError(f"MODEL.WEIGHTS = {path!r}: there is no such file; give a checkpoint's path.")
    return unwrap(read_weight_file(path), path, expected)
