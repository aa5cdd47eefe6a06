"""The processes of a run, started by Detectron2's launcher or by torchrun."""

import datetime
import errno
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import torch
from detectron2.engine import launch
from detectron2.utils import comm
from torch import distributed
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from errseg.errors import UsageError

__all__ = ["RankKilled", "TorchrunWorld", "check_address", "is_first_here", "start_processes", "torchrun_world"]

TIMEOUT = datetime.timedelta(minutes=30)  # of collective operations, as in Detectron2's launcher

BLAME = 3.0  # seconds that a failed process waits, so that the launcher notices a partner that died before it


class RankKilled(UsageError):
    """A signal has ended one of the processes.

    Attributes:
        status: the exit status of a process that the signal ended, as a shell gives it.
    """

    def __init__(self, rank: int, number: int):
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        reason = {
            signal.SIGKILL: ", most often because the machine ran out of memory; lower SOLVER.IMS_PER_BATCH, raise "
            "SOLVER.ACCUMULATION_STEPS, lower DATALOADER.NUM_WORKERS or give the job more memory",
            signal.SIGBUS: ", most often because shared memory (/dev/shm) is full; give the container more "
            "(docker run --shm-size=8g), or lower DATALOADER.NUM_WORKERS",
        }.get(number, "")
        super().__init__(
            f"The process of rank {rank} was ended by {name}{reason}; --resume goes on from the last checkpoint."
        )
        self.status = 128 + number


class TorchrunWorld(NamedTuple):
    """The place of this process among those that torchrun started."""

    rank: int
    size: int
    local_rank: int
    local_size: int  # processes on this machine


def torchrun_world(environment: Mapping[str, str] = os.environ) -> TorchrunWorld | None:
    """The ranks and sizes that torchrun gives to this process; None where torchrun did not start it.

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
    """Whether this process prints the messages of this machine: the first that torchrun started, or the only one."""
    world = torchrun_world()
    return world is None or world.local_rank == 0


def start_processes(
    function: Callable, processes: int, machines: int, machine_rank: int, url: str, on_gpu: bool, args: tuple[Any, ...]
) -> None:
    """Run ``function(*args)`` in each process of this machine: in new processes, or, under torchrun, in this one.

    A signal that ends this process ends the new processes too.

    Args:
        function: must be importable by new processes.
        processes: number of processes on this machine.
        machines: number of machines of the run.
        machine_rank: rank of this machine.
        url: the address at which the processes connect.
        on_gpu: whether each process has its own GPU.
        args: arguments of ``function``.

    Raises:
        UsageError: the processes cannot connect at ``url``.
        RankKilled: a signal has ended a process.
        ProcessExitedException: a process has ended with an exit status of its own, and has printed the reason.
    """
    world = torchrun_world()
    if world is None:
        if processes * machines > 1:
            check_address(url, machine_rank)
            function, args = _leave_blame, (function, args)
        try:
            with _ending_children():
                launch(function, processes, machines, machine_rank, url, args=args)
        except ProcessExitedException as error:
            if error.exit_code < 0:
                raise RankKilled(machine_rank * processes + error.error_index, -error.exit_code) from error
            raise
        except ProcessRaisedException as error:
            text = str(error).strip()
            if "init_process_group" in text and "Dist" in text.rpartition("\n")[2]:
                raise UsageError(
                    f"The processes cannot meet at {url} ({text.rpartition(chr(10))[2][:200]}); see that every machine "
                    "runs with the same --dist-url and --num-machines, and that its port is free and reachable."
                ) from error
            raise
        return
    if on_gpu:
        torch.cuda.set_device(world.local_rank)
    if world.size > 1:
        distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=TIMEOUT)  # torchrun gives the address
        comm.create_local_process_group(world.local_size)
        comm.synchronize()
    function(*args)


def check_address(url: str, machine_rank: int) -> None:
    """Check the address at which the processes connect. The first machine listens there.

    Raises:
        UsageError: ``url`` is no address, or its port is taken.
    """
    parts = urlsplit(url)
    if url == "auto" or parts.scheme in ("file", "env"):
        return
    try:
        port = parts.port if parts.scheme == "tcp" and parts.hostname else None
    except ValueError:
        port = None
    if not port:
        raise UsageError(f"--dist-url {url} is no address; give tcp://HOST:PORT with a port from 1 to 65535, or auto.")
    if machine_rank == 0:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the run's own socket sets it too
            try:
                listener.bind(("", port))
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    return
                reason = "taken by another program" if error.errno == errno.EADDRINUSE else "not open to this user"
                raise UsageError(
                    f"--dist-url {url}: port {port} is {reason}; give a free one or, on one machine, auto."
                ) from error


@contextmanager
def _ending_children() -> Iterator[None]:
    """If this process is interrupted or terminated, end the processes that were started inside the context."""
    before = set(multiprocessing.active_children())
    handles = threading.current_thread() is threading.main_thread()
    if handles:
        previous = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        children = set(multiprocessing.active_children()) - before
        for child in children:
            child.terminate()
        deadline = time.monotonic() + 10
        for child in children:
            child.join(max(0, deadline - time.monotonic()))
            child.kill()
            child.join()
        raise
    finally:
        if handles:
            signal.signal(signal.SIGTERM, previous)


def _leave_blame(function: Callable, args: tuple[Any, ...]) -> None:
    """Run ``function(*args)``. Delay a RuntimeError, so that the launcher notices the death of a partner first."""
    try:
        function(*args)
    except RuntimeError:
        time.sleep(BLAME)
        raise
