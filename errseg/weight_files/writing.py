"""Write weights as safetensors."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from ..atomic import replacing

__all__ = ["write_safetensors"]


def write_safetensors(weights: Mapping[str, Tensor], path: str | Path, **metadata: str) -> None:
    """Write a state dict; the file appears complete or not at all.

    Args:
        weights: on any device. Tensors that share memory are written once for each name.
        path: of the file.
        metadata: facts for the header of the file, which any reader of safetensors shows.

    Raises:
        OSError: the file cannot be written.
    """
    seen: set[int] = set()
    own = {}
    for key, value in weights.items():
        value = value.detach().cpu().contiguous()
        storage = value.untyped_storage()
        own[key] = value.clone() if storage.data_ptr() in seen or storage.nbytes() != value.nbytes else value
        seen.add(storage.data_ptr())
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(save(own, {"format": "pt", **metadata}))
