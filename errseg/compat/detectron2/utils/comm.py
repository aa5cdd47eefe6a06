"""Communication between processes. Without a process group every function answers for a world of one."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

_local_group: dist.ProcessGroup | None = None  # the processes of this machine, set by launch


def _initialized() -> bool:
    return dist.is_available() and dist.is_initialized()


def get_world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if _initialized() else 1


def get_rank() -> int:
    """Rank among all processes."""
    return dist.get_rank() if _initialized() else 0


def create_local_process_group(num_workers_per_machine: int) -> None:
    """Group the processes of each machine, so that local ranks are known. ``launch`` does this.

    Every process calls it, once, with the same number; ranks are numbered machine by machine.
    """
    global _local_group
    world_size = get_world_size()
    if world_size % num_workers_per_machine:
        raise ValueError(f"{world_size} processes do not divide into machines of {num_workers_per_machine}.")
    for start in range(0, world_size, num_workers_per_machine):
        ranks = list(range(start, start + num_workers_per_machine))
        group = dist.new_group(ranks)
        if get_rank() in ranks:
            _local_group = group


def get_local_process_group() -> dist.ProcessGroup:
    """The group of this machine's processes."""
    if _local_group is None:
        raise RuntimeError("No local process group: start processes with launch, or call create_local_process_group.")
    return _local_group


def get_local_rank() -> int:
    """Rank among this machine's processes."""
    return dist.get_rank(get_local_process_group()) if _initialized() else 0


def get_local_size() -> int:
    """Number of this machine's processes."""
    return dist.get_world_size(get_local_process_group()) if _initialized() else 1


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
def _new_gloo_group() -> dist.ProcessGroup:
    return dist.new_group(backend="gloo")


def _object_group() -> dist.ProcessGroup | None:
    """A group that carries CPU objects, which NCCL's does not; None: the one of all processes."""
    return _new_gloo_group() if dist.get_backend() == dist.Backend.NCCL else None


def all_gather(data: Any, group: dist.ProcessGroup | None = None) -> list[Any]:
    """Every process's picklable ``data``, in order of rank."""
    if get_world_size() == 1:
        return [data]
    group = group or _object_group()
    gathered = [None] * dist.get_world_size(group)
    dist.all_gather_object(gathered, data, group=group)
    return gathered


def gather(data: Any, dst: int = 0, group: dist.ProcessGroup | None = None) -> list[Any]:
    """Every process's picklable ``data``, in order of rank, on rank ``dst``; an empty list on the others."""
    if get_world_size() == 1:
        return [data]
    group = group or _object_group()
    gathered = [None] * dist.get_world_size(group) if dist.get_rank(group) == dst else None
    dist.gather_object(data, gathered, dst=dst, group=group)
    return gathered or []


def shared_random_seed() -> int:
    """A random number that is the same in every process."""
    return all_gather(np.random.randint(2**31))[0]


def reduce_dict(input_dict: Mapping[str, torch.Tensor], average: bool = True) -> Mapping[str, torch.Tensor]:
    """Sum or mean over processes of each scalar tensor; valid on rank 0. Keys must agree."""
    world_size = get_world_size()
    if world_size < 2:
        return input_dict
    with torch.no_grad():
        names = sorted(input_dict)
        values = torch.stack([input_dict[name] for name in names])
        dist.reduce(values, dst=0)
        if average and get_rank() == 0:
            values /= world_size
        return dict(zip(names, values, strict=True))
