"""One process for each GPU, or for each share of the CPU's cores."""

import datetime
import socket
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from ..utils import comm

__all__ = ["DEFAULT_TIMEOUT", "launch"]

DEFAULT_TIMEOUT = datetime.timedelta(minutes=30)


def launch(
    main_func: Callable,
    num_gpus_per_machine: int,
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_url: str | None = None,
    args: tuple = (),
    timeout: datetime.timedelta = DEFAULT_TIMEOUT,
) -> None:
    """Run ``main_func(*args)``: here if it is alone, else in as many new processes as this machine has a part in.

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
    if torch.cuda.is_available() and num_gpus_per_machine > torch.cuda.device_count():
        raise ValueError(
            f"{num_gpus_per_machine} processes need a GPU each and this machine has {torch.cuda.device_count()}: lower "
            "--num-gpus."
        )
    if dist_url == "auto":
        if num_machines != 1:
            raise ValueError(f"dist_url auto is for one machine, not {num_machines}: give tcp://<machine 0>:<port>.")
        dist_url = f"tcp://127.0.0.1:{_free_port()}"
    elif dist_url is None:
        raise ValueError(f"{world_size} processes need a dist_url to meet at: give tcp://<host>:<port> or auto.")
    mp.start_processes(
        _worker,
        args=(main_func, world_size, num_gpus_per_machine, machine_rank, dist_url, args, timeout),
        nprocs=num_gpus_per_machine,
        start_method="spawn",
    )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _worker(
    local_rank: int,
    main_func: Callable,
    world_size: int,
    num_per_machine: int,
    machine_rank: int,
    dist_url: str,
    args: tuple[Any, ...],
    timeout: datetime.timedelta,
) -> None:
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(local_rank)
    dist.init_process_group(
        backend="nccl" if on_gpu else "gloo",
        init_method=dist_url,
        world_size=world_size,
        rank=machine_rank * num_per_machine + local_rank,
        timeout=timeout,
    )
    comm.create_local_process_group(num_per_machine)
    comm.synchronize()
    main_func(*args)
    if dist.is_initialized():  # not after an error: it would wait for processes that wait for this one
        dist.destroy_process_group()
