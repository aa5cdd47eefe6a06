"""Check the devices that the processes of a run need."""

import os

import torch
from detectron2.config import CfgNode

from errseg.errors import UsageError

__all__ = ["check_devices"]


def check_devices(cfg: CfgNode, num_gpus: int) -> None:
    """Check that this machine has a device for each process. Hide the GPUs where MODEL.DEVICE is the CPU.

    Detectron2's launcher uses NCCL wherever it sees a GPU, and NCCL cannot send CPU tensors.

    Args:
        cfg: the configuration; only MODEL.DEVICE is read.
        num_gpus: processes on this machine.

    Raises:
        UsageError: there are too few GPUs.
    """
    if not cfg.MODEL.DEVICE.startswith("cuda"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif not torch.cuda.is_available():
        raise UsageError(
            f"MODEL.DEVICE is {cfg.MODEL.DEVICE}, but torch sees no GPU; add MODEL.DEVICE cpu to run on the CPU."
        )
    elif num_gpus > torch.cuda.device_count():
        raise UsageError(
            f"--num-gpus {num_gpus} asks for more than the {torch.cuda.device_count()} GPUs of this machine; "
            "lower it, and SOLVER.IMS_PER_BATCH or SOLVER.ACCUMULATION_STEPS with it where memory needs it."
        )
