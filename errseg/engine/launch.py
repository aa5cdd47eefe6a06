"""Processes, as Detectron2's launcher or torchrun starts them."""

import datetime
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from detectron2.engine import launch
from detectron2.utils import comm
from torch import distributed

from errseg.errors import UsageError

__all__ = ["TorchrunWorld", "is_first_here", "start_processes", "torchrun_world"]

TIMEOUT = datetime.timedelta(minutes=30)  # of collective operations, as Detectron2's launcher has it


class TorchrunWorld(NamedTuple):
    """This process among those that torchrun started."""

    rank: int
    size: int
    local_rank: int
    local_size: int  # processes on this machine


def torchrun_world(environment: Mapping[str, str] = os.environ) -> TorchrunWorld | None:
    """What torchrun tells its processes; None where it started none.

    Raises:
        UsageError: the machines have different numbers of processes.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    if not all(environment.get(name, "").isdigit() for name in names):
        return None
    world = TorchrunWorld(*(int(environment[name]) for name in names))
    if world.size % world.local_size:
        raise UsageError(
            f"torchrun started {world.size} processes, {world.local_size} of them here; give every machine the same "
            "--nproc-per-node."
        )
    return world


def is_first_here() -> bool:
    """Whether this process may speak for those that torchrun started on this machine."""
    world = torchrun_world()
    return world is None or world.local_rank == 0


def start_processes(
    function: Callable, processes: int, machines: int, machine_rank: int, url: str, on_gpu: bool, args: tuple[Any, ...]
) -> None:
    """Run ``function(*args)`` in each process of this machine: in new ones, or, under torchrun, in this one.

    Args:
        function: can be imported by new processes.
        processes: of this machine.
        machines: of the run.
        machine_rank: of this machine.
        url: where processes meet.
        on_gpu: each process has a GPU of its own.
        args: of ``function``.
    """
    world = torchrun_world()
    if world is None:
        launch(function, processes, machines, machine_rank, url, args=args)
        return
    if on_gpu:
        torch.cuda.set_device(world.local_rank)
    if world.size > 1:
        distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=TIMEOUT)  # torchrun says where
        comm.create_local_process_group(world.local_size)
        comm.synchronize()
    function(*args)
