"""The driver of a large job: it lists the inputs, and streams them through Ray Data to actors that hold the model."""

import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from errseg.errors import UsageError, short
from errseg.ledger import Request, locked_outputs

from ..ledger import JOB
from ..run import Outcome, Settings
from .inputs import find_inputs
from .job import Job, ledger_of
from .storage import Folder, is_address
from .worker import ModelSpec, Row, Task, Worker, from_line, read_rows, to_line

__all__ = ["Cluster", "predict_with_ray", "require_ray"]

logger = logging.getLogger(__name__)

GROUP = 64  # pictures that a worker gets at a time, at most
READER_CPUS = 0.25  # of a task that reads: it waits most of the time
STORE = 512 << 20  # bytes of Ray's shared memory on this machine
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}  # nothing is sent to Ray's authors


@dataclass(frozen=True)
class Cluster:
    """Where the workers run.

    Attributes:
        workers: their number; None: one for each GPU, or, without GPUs, one here and one for each core of a cluster.
        on_gpu: whether each has a GPU; None: where there are GPUs.
        address: of a running cluster; None: processes of this machine, started for this job.
        threads: of each worker.
    """

    workers: int | None = None
    on_gpu: bool | None = None
    address: str | None = None
    threads: int = 1

    @property
    def worker_cpus(self) -> float:
        """What Ray counts for a worker. In a cluster, it leaves room for the worker's reader on the same core."""
        return self.threads if self.address is None else 1 - READER_CPUS

    def resolved(self, cores: int, gpus: int) -> "Cluster":
        """With all numbers set, for the cores and GPUs that there are.

        Raises:
            UsageError: a GPU is asked for, and there is none.
        """
        on_gpu = gpus > 0 if self.on_gpu is None else self.on_gpu
        if on_gpu and not gpus:
            raise UsageError(f"--device asks for a GPU, but {self.address or 'this machine'} has none; give cpu.")
        workers = self.workers or (gpus if on_gpu else 1 if self.address is None else cores)
        threads = 1 if self.address else max(cores // workers, 1)
        return replace(self, workers=workers, on_gpu=on_gpu, threads=threads)


def predict_with_ray(
    spec: ModelSpec, request: Request, arguments: Sequence[str], out: str, settings: Settings, cluster: Cluster
) -> Outcome:
    """Segment pictures into files. Inputs that are done, and have not changed since, are not done again.

    Args:
        spec: how each worker loads the model.
        request: everything on which the outputs depend, ``request_of`` the model.
        arguments: what names the inputs, see ``find_inputs``.
        out: the output folder: a path, or an address of a store.
        settings: the options. ``formats`` may have "parquet"; ``out`` is not used.
        cluster: where the workers run.

    Raises:
        UsageError: Ray is missing or cannot start; an argument names nothing; another command uses the output folder;
            or the outputs cannot be written.
    """
    require_ray()
    out = out if is_address(out) else os.path.abspath(out)  # workers have other folders
    for each in (out, *arguments):
        if each.startswith("memory://"):
            raise UsageError(f"{each} is memory of one process, which workers do not share; give a folder or a store.")
    folder = Folder(out)
    with ExitStack() as stack:
        if folder.local is not None:
            stack.enter_context(locked_outputs(JOB, folder.local))
        folder.remove_scratch()
        ledger = stack.enter_context(ledger_of(folder, request))
        job = Job(folder, ledger, find_inputs(arguments, out), settings)
        task = Task(out, replace(settings, formats=job.formats), job.parquet, ledger.request_id)
        if job.rows:
            with _ray(cluster) as found:
                job.take_all(_answers(job.rows, spec, task, found, settings.batch))
        return job.outcome


def _answers(rows: list[Row], spec: ModelSpec, task: Task, cluster: Cluster, batch: int) -> Iterator[Row]:
    """The rows of the workers, as they come."""
    import pyarrow
    import ray
    from ray import data

    shards = [row for row in rows if "done" in row]
    pictures = [row for row in rows if "done" not in row]
    size = min(GROUP, max(len(pictures) // (4 * cluster.workers), 1)) if not shards else GROUP
    size = -(-size // batch) * batch  # whole batches of the model
    groups = [pictures[i : i + size] for i in range(0, len(pictures), size)] + [[row] for row in shards]
    tables = [pyarrow.table({"row": [to_line(row) for row in group]}) for group in groups]
    resources = {"num_cpus": cluster.worker_cpus, **({"num_gpus": 1} if cluster.on_gpu else {})}
    stream = data.from_arrow(tables).map_batches(
        _read,
        batch_size=None,
        batch_format="pyarrow",
        compute=data.TaskPoolStrategy(size=cluster.workers),  # a reader for each worker
        num_cpus=READER_CPUS,
        fn_kwargs={"size": size},
    )
    stream = stream.map_batches(
        _Actor,
        fn_constructor_args=(spec, task, cluster.threads),
        batch_size=size,
        batch_format="pyarrow",
        compute=data.ActorPoolStrategy(size=cluster.workers),
        **resources,
    )
    try:
        for table in stream.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from map(from_line, table.column("row").to_pylist())
    except ray.exceptions.RayError as error:
        raise UsageError(
            f"Ray has ended the job ({short(_last_line(error), 300)}); its logs are in /tmp/ray. The same "
            "command goes on from here."
        ) from error


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _say_if_it_waits(cluster: Cluster, there: Mapping[str, float]) -> None:
    """Warn where a cluster has too little for all workers: Ray waits, without a word, until it has grown."""
    needed = {"CPU": float(cluster.workers or 0)} | ({"GPU": float(cluster.workers or 0)} if cluster.on_gpu else {})
    for kind, count in needed.items():
        if there.get(kind, 0) < count:
            logger.warning(
                "--address %s has %g %ss, fewer than %d workers need; Ray waits for more, or give --workers %d.",
                *(cluster.address, there.get(kind, 0), kind, cluster.workers, max(int(there.get(kind, 0)), 1)),
            )


@contextmanager
def _ray(cluster: Cluster) -> Iterator[Cluster]:
    """Ray within the context, and the cluster with all its numbers. What runs already is used, and goes on after it.

    Raises:
        UsageError: Ray cannot start, or the cluster cannot be reached; or there is no GPU.
    """
    os.environ.update({key: os.environ.get(key, value) for key, value in QUIET.items()})
    import ray
    import torch
    from ray.data import DataContext

    started = not ray.is_initialized()
    if cluster.address is None:
        cluster = cluster.resolved(len(os.sched_getaffinity(0)), torch.cuda.device_count())
    try:
        if started and cluster.address is None:
            gpus = {"num_gpus": cluster.workers} if cluster.on_gpu else {}
            cpus = cluster.workers * cluster.threads + 1
            store = {"object_store_memory": STORE, "include_dashboard": False}
            ray.init("local", num_cpus=cpus, **gpus, **store, logging_level=logging.ERROR, log_to_driver=False)
        elif started:
            ray.init(cluster.address, logging_level=logging.ERROR)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        where = f"--address {cluster.address}" if cluster.address else "Ray"
        token = ", and if the cluster asks for a token, set RAY_AUTH_MODE=token" if cluster.address else ""
        raise UsageError(f"{where} cannot be used ({short(error, 200).rstrip('.')}); correct it{token}.") from error
    try:
        if cluster.address is not None:
            there = ray.cluster_resources()
            cluster = cluster.resolved(int(there.get("CPU", 1)), int(there.get("GPU", 0)))
            _say_if_it_waits(cluster, there)
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.preserve_order = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        yield cluster
    finally:
        if started:
            ray.shutdown()


def require_ray() -> None:
    """Raise UsageError if Ray is not installed."""
    missing = [name for name in ("ray", "pyarrow", "fsspec") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"--engine ray needs {', '.join(missing)}, not installed here; run pip install 'errseg[ray]'.")


def _read(table: Any, size: int) -> Iterator[Any]:
    """Rows of inputs -> rows of pictures with their bytes, ``size`` at a time."""
    found: list[tuple[Row, bytes | None]] = []
    for pair in read_rows([from_line(line) for line in table.column("row").to_pylist()]):
        found.append(pair)
        if len(found) == size:
            yield _table(found)
            found = []
    if found:
        yield _table(found)


def _table(pairs: list[tuple[Row, bytes | None]]) -> Any:
    import pyarrow

    contents = pyarrow.array([content for _, content in pairs], pyarrow.large_binary())
    return pyarrow.table({"row": [to_line(row) for row, _ in pairs], "content": contents})


class _Actor:
    """A worker, as Ray Data calls it: with tables."""

    def __init__(self, spec: ModelSpec, task: Task, threads: int):
        self.worker = Worker(spec, task, threads)

    def __call__(self, table: Any) -> Any:
        import pyarrow

        rows = [from_line(line) for line in table.column("row").to_pylist()]
        answers = self.worker(rows, table.column("content").to_pylist())
        return pyarrow.table({"row": pyarrow.array([to_line(row) for row in answers], pyarrow.string())})
