"""Communication between processes. Without a process group, every function behaves as for one process."""

import functools
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from ..outside import outside

__getattr__ = outside(globals())

_local_size: int | None = None  # processes on each machine, set by launch


def _initialized() -> bool:
    return dist.is_available() and dist.is_initialized()


def get_world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if _initialized() else 1


def get_rank() -> int:
    """Rank among all processes."""
    return dist.get_rank() if _initialized() else 0


def create_local_process_group(num_workers_per_machine: int) -> None:
    """Set the number of processes of each machine; ranks are numbered machine by machine. ``launch`` calls this."""
    global _local_size
    _local_size = num_workers_per_machine


def get_local_size() -> int:
    """Number of this machine's processes."""
    if not _initialized():
        return 1
    if _local_size is None:
        raise RuntimeError("Local ranks are not known: start processes with detectron2.engine.launch.")
    return _local_size


def get_local_rank() -> int:
    """Rank among this machine's processes."""
    return get_rank() % get_local_size()


def is_main_process() -> bool:
    """Whether this is the process of rank 0."""
    return get_rank() == 0


def synchronize() -> None:
    """Wait for every process."""
    if get_world_size() == 1:
        return
    if dist.get_backend() == dist.Backend.NCCL:
        dist.barrier(device_ids=[torch.cuda.current_device()])  # NCCL would otherwise guess the device
    else:
        dist.barrier()


@functools.cache
def _gloo_group() -> dist.ProcessGroup:
    return dist.new_group(backend="gloo")


def _object_group() -> dist.ProcessGroup | None:
    """A process group that can send CPU objects, as NCCL's cannot; None: the default group."""
    return _gloo_group() if dist.get_backend() == dist.Backend.NCCL else None


def all_gather(data: Any) -> list[Any]:
    """Every process's picklable ``data``, in order of rank."""
    if get_world_size() == 1:
        return [data]
    gathered = [None] * get_world_size()
    dist.all_gather_object(gathered, data, group=_object_group())
    return gathered


def gather(data: Any, dst: int = 0) -> list[Any]:
    """Every process's picklable ``data``, in order of rank, on rank ``dst``; an empty list on the others."""
    if get_world_size() == 1:
        return [data]
    gathered = [None] * get_world_size() if get_rank() == dst else None
    dist.gather_object(data, gathered, dst=dst, group=_object_group())
    return gathered or []


def shared_random_seed() -> int:
    """A random number that is the same in every process."""
    return all_gather(np.random.randint(2**31))[0]
