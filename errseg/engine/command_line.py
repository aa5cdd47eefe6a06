"""What the command lines check before they start anything expensive."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from detectron2.config import CfgNode

from errseg.config import get_cfg
from errseg.errors import UsageError

__all__ = ["check_devices", "load_config"]


def load_config(config_file: str, overrides: Sequence[Any] = ()) -> CfgNode:
    """The configuration of a YAML file and KEY VALUE overrides.

    Raises:
        UsageError: the file is missing, a key is unknown, or a value does not fit its key.
    """
    cfg = get_cfg()
    if not Path(config_file).is_file():
        raise UsageError(f"The config file {config_file} does not exist; configs/ holds those that come with errseg.")
    try:
        cfg.merge_from_file(config_file)
    except (AssertionError, KeyError, OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{config_file}: {_reason(error)}; errseg/config.py declares errseg's keys.") from error
    late = next((word for word in overrides if str(word).startswith("--")), None)
    if late:
        raise UsageError(f"The option {late} comes after a KEY VALUE pair; put the options before the pairs.")
    if len(overrides) % 2:
        raise UsageError(f"Overrides come as KEY VALUE; {overrides[-1]!r} has no value.")
    for key, value in zip(overrides[::2], overrides[1::2], strict=True):
        if not _has_key(cfg, key):
            near = difflib.get_close_matches(key, _leaves(cfg), n=1)
            hint = f"did you mean {near[0]}?" if near else "errseg/config.py declares errseg's keys."
            raise UsageError(f"There is no configuration key {key}; {hint}")
        try:
            cfg.merge_from_list([key, value])
        except (AssertionError, KeyError, ValueError) as error:
            raise UsageError(f"{key} cannot be {value!r}: {_reason(error)}.") from error
    return cfg


def check_devices(cfg: CfgNode, num_gpus: int) -> None:
    """Check that the processes of this machine find their devices, and hide GPUs from those that run on the CPU.

    Detectron2's launcher lets processes talk over NCCL wherever it sees a GPU, and that carries no CPU tensors.

    Args:
        cfg: its MODEL.DEVICE counts.
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


def _has_key(cfg: CfgNode, key: str) -> bool:
    node = cfg
    for part in key.split("."):
        if not isinstance(node, CfgNode) or (part not in node and not node.is_new_allowed()):
            return False
        node = node.get(part)
    return True


def _leaves(cfg: CfgNode, prefix: str = "") -> list[str]:
    """The full names of every key."""
    names = []
    for key, value in cfg.items():
        names += _leaves(value, f"{prefix}{key}.") if isinstance(value, CfgNode) else [prefix + key]
    return names


def _reason(error: Exception) -> str:
    """An exception's message as a part of a sentence."""
    text = error.args[0] if isinstance(error, KeyError) and error.args else error  # KeyError prints its message quoted
    return " ".join(str(text).split()).rstrip(".")
