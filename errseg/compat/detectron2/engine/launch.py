"""Starting several processes: one for each GPU, or several on the CPU."""

import datetime
import socket
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from ..outside import outside
from ..utils import comm

__getattr__ = outside(globals())


def launch(
    main_func: Callable,
    num_gpus_per_machine: int,
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_url: str | None = None,
    args: tuple = (),
    timeout: datetime.timedelta = datetime.timedelta(minutes=30),
) -> None:
    """Run ``main_func(*args)``: in this process if there is only one, else in new processes.

    Args:
        main_func: a function that new processes can import.
        num_gpus_per_machine: processes on each machine; each has a GPU with NCCL or, without CUDA, the CPU with gloo.
        num_machines: run this on each of them.
        machine_rank: of this machine.
        dist_url: where processes meet, such as ``tcp://127.0.0.1:29500``; ``auto``: a free port, on one machine alone.
        args: of ``main_func``.
        timeout: of the processes' collective operations.
    """
    world_size = num_machines * num_gpus_per_machine
    if world_size <= 1:
        main_func(*args)
        return
    if dist_url == "auto":
        if num_machines != 1:
            raise ValueError(f"dist_url auto is for one machine, not {num_machines}: give tcp://<machine 0>:<port>.")
        dist_url = f"tcp://127.0.0.1:{_free_port()}"
    elif dist_url is None:
        raise ValueError(f"{world_size} processes need a dist_url to meet at: give tcp://<host>:<port> or auto.")
    group = {"init_method": dist_url, "world_size": world_size, "timeout": timeout}
    arguments = (main_func, args, num_gpus_per_machine, machine_rank, group)
    mp.start_processes(_worker, arguments, nprocs=num_gpus_per_machine, start_method="spawn")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _worker(
    local_rank: int, main_func: Callable, args: tuple, num_per_machine: int, machine_rank: int, group: dict[str, Any]
) -> None:
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(local_rank)
    rank = machine_rank * num_per_machine + local_rank
    dist.init_process_group("nccl" if on_gpu else "gloo", rank=rank, **group)
    comm.create_local_process_group(num_per_machine)
    comm.synchronize()
    main_func(*args)
    if dist.is_initialized():  # not after an error: it would wait for processes that wait for this one
        dist.destroy_process_group()
