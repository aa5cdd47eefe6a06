"""fvcore's checkpointers, for runs of one or more processes."""

from typing import Any

import torch
from fvcore.common.checkpoint import Checkpointer, PeriodicCheckpointer

from .outside import outside
from .utils import comm
from .utils.file_io import PathManager

__getattr__ = outside(globals())

__all__ = ["Checkpointer", "DetectionCheckpointer", "PeriodicCheckpointer"]


class DetectionCheckpointer(Checkpointer):
    """fvcore's ``Checkpointer``, but only the main process saves, and a file may be a bare state dict.

    Args:
        model: its parameters and buffers are saved and loaded; it may be wrapped in ``DistributedDataParallel``.
        save_dir: folder of the checkpoints and of ``last_checkpoint``, which holds the name of the newest one.
        save_to_disk: None: only in the main process.
        checkpointables: further objects with ``state_dict`` and ``load_state_dict``, by name.
    """

    def __init__(
        self, model: torch.nn.Module, save_dir: str = "", *, save_to_disk: bool | None = None, **checkpointables: Any
    ) -> None:
        save_to_disk = comm.is_main_process() if save_to_disk is None else save_to_disk
        super().__init__(model, save_dir, save_to_disk=save_to_disk, **checkpointables)
        self.path_manager = PathManager

    def _load_file(self, filename: str) -> dict[str, Any]:
        loaded = torch.load(filename, map_location="cpu", weights_only=True)  # in every version of torch
        return loaded if "model" in loaded else {"model": loaded}
