"""The measurement. The jobs take turns, so that a disturbance of the machine affects all of them equally."""

import dataclasses
import gc
import logging
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import torch
from detectron2.config import CfgNode
from torch import Tensor

from ..agreement import share_of_equal_pixels
from ..engine.optimizer import build_optimizer
from ..modeling import system_of
from .cases import Case, check_plain_fits, check_system
from .child import peak_memory
from .inputs import image_batches
from .jobs import Job
from .models import Models
from .names import NameList
from .prepare import make_job
from .work import Rates, Work, count_work, measure_rates

logger = logging.getLogger(__name__)

WARM_UPS = {"cpu": 1, "cuda": 3}


@dataclass
class Result:
    """The measured figures of a case.

    Attributes:
        case: the case.
        seconds: the time of each run; empty where memory ran out.
        parts: for each run, the seconds of its parts.
        predictions: label maps, kept until they are compared.
        agreement: share of the pixels with the same label as in the reference.
        reference: the case of the reference, as ``str(case)``.
        peak_mb: peak memory of a process that only runs this case.
        encode_s: seconds that the encoding of the names took, where they were encoded for a prediction.
        kept: the largest number of names that an image of the timed batch keeps, where K fits the image.
        work, part_work: the work of a run; None where it was not requested, or cannot be counted.
        rates: the rates of the device in this precision.
    """

    case: Case
    seconds: list[float] = field(default_factory=list)
    parts: list[dict[str, float]] = field(default_factory=list)
    predictions: list[Tensor] | None = None
    agreement: float | None = None
    reference: str | None = None
    peak_mb: float | None = None
    encode_s: float | None = None
    kept: int | None = None
    work: Work | None = None
    part_work: dict[str, Work] = field(default_factory=dict)
    rates: Rates | None = None

    @property
    def median(self) -> float | None:
        """The median time, in seconds."""
        return statistics.median(self.seconds) if self.seconds else None

    @property
    def median_parts(self) -> dict[str, float]:
        """The median time of each part, in seconds."""
        return {name: statistics.median(parts[name] for parts in self.parts) for name in self.parts[0]}


class Entry(NamedTuple):
    """Cases of one configuration, for ``measure_together``; weights and files as of ``measure``."""

    name: str
    cfg: CfgNode
    cases: Sequence[Case]
    weights: str = ""
    files: Sequence[str] = ()


def measure(
    cases: Sequence[Case],
    cfg: CfgNode,
    repeats: int,
    weights: str = "",
    files: Sequence[str] = (),
    memory: bool = True,
    floor: bool = False,
) -> list[Result]:
    """Measure all cases. The cases of one batch size take turns.

    Args:
        cases: the cases; the baseline of each vocabulary comes first.
        cfg: the configuration of the model, with its device.
        repeats: number of timed runs of each case.
        weights: a checkpoint; its text tower encodes the names. Empty: random weights and embeddings.
        files: test images; empty: drawn scenes.
        memory: measure peak memory, each case in a process of its own.
        floor: count work and measure the device's rates.

    Raises:
        UsageError: a requested part does not exist, such as the plain form of a system that has none, or it does not
            fit into memory.
    """
    torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK
    check_system(cases, cfg)
    _check_memory(cases, cfg, files)
    results = [Result(case) for case in cases]
    if memory:  # before the memory of this process grows
        for result in results:
            logger.info("memory: %s", result.case)
            result.peak_mb = peak_memory(result.case, cfg, files)
    bench = _Bench(cfg, weights, files)
    for _, group in groupby(results, key=lambda result: result.case.batch):
        bench.take_turns(list(group), repeats, floor)
    return results


def measure_together(entries: Sequence[Entry], repeats: int, memory: bool = True) -> list[list[Result]]:
    """Measure cases of several configurations, all of which take turns.

    Args:
        entries: the configurations, each with its cases.
        repeats, memory: as of ``measure``.

    Returns:
        The results of each entry.

    Raises:
        UsageError: see ``measure``.
    """
    for each in entries:
        check_system(each.cases, each.cfg)
    found = [[Result(case) for case in each.cases] for each in entries]
    if memory:
        for each, results in zip(entries, found, strict=True):
            for result in results:
                logger.info("memory: %s: %s", each.name, result.case)
                result.peak_mb = peak_memory(result.case, each.cfg, each.files)
    ready = []
    for each, results in zip(entries, found, strict=True):
        logger.info("%s", each.name)
        ready += _Bench(each.cfg, each.weights, each.files).warm(results, False)
    _take_turns(ready, repeats)
    return found


def _take_turns(ready: list[tuple[Result, Job]], repeats: int) -> None:
    for turn in range(repeats):
        for result, job in list(ready):
            if _time(result, job):
                logger.info("run %d of %d: %s: %.4f s", turn + 1, repeats, result.case, result.seconds[-1])
            else:
                ready.remove((result, job))
                _give_up(result)


def _check_memory(cases: Sequence[Case], cfg: CfgNode, files: Sequence[str]) -> None:
    for case in cases:
        if case.kind == "predict" and case.form == "plain" and cfg.MODEL.DEVICE == "cpu":
            images = [x["image"] for batch in image_batches(1, files, cfg.INPUT.RESOLUTION_TEST) for x in batch]
            check_plain_fits(case, max((tuple(x.shape[1:]) for x in images), key=lambda size: size[0] * size[1]))


class _Bench:
    """Make and run jobs that share weights, text embeddings and the optimizer."""

    def __init__(self, cfg: CfgNode, weights: str, files: Sequence[str]):
        self._cfg = cfg
        self._files = files
        self._models = Models(cfg, weights)
        self._encodes = bool(weights)
        self._encoded: dict[NameList, tuple[Tensor, float]] = {}
        self._optimizer: torch.optim.Optimizer | None = None
        self._rates: dict[str, Rates] = {}

    def take_turns(self, results: list[Result], repeats: int, floor: bool) -> None:
        """Warm up all jobs, then run them one after the other, ``repeats`` times."""
        ready = self.warm(results, floor)
        _take_turns(ready, repeats)
        if any(result.case.compile_mode for result, _ in ready):
            torch.compiler.reset()
        ready.clear()
        _free_memory()

    def warm(self, results: list[Result], floor: bool) -> list[tuple[Result, Job]]:
        """The results whose jobs fit into memory, with their jobs, after the warm-up runs; they are compared."""
        ready = [(result, job) for result in results if (job := self._warm(result, floor))]
        _compare([result for result, _ in ready])
        _share_work(results)
        return ready

    def _warm(self, result: Result, floor: bool) -> Job | None:
        """The job of a result, after the warm-up runs; None where the GPU's memory runs out."""
        case = result.case
        logger.info("warm-up: %s", case)
        try:
            job = self._make(result)
            for _ in range(WARM_UPS[job.device.type] - 1):
                job()
            counted = floor or case.kind != "predict" or system_of(self._cfg).varies(self._cfg)
            if case.compile_mode or not counted:
                job()
            else:  # not for a compiled job, whose fused operations are not seen; predictions are counted in rows.py
                result.work, result.part_work = count_work(job)
            if floor and result.work:
                result.rates = self._rates_of(job.device, case.precision)
            if case.kind == "predict" and not case.encode_names:  # their embeddings are not those of the other cases
                result.predictions = job.predict_all()
            result.kept = job.kept()
        except torch.cuda.OutOfMemoryError:
            job = None
        if job is None:  # not earlier: the error object keeps the allocated memory
            _give_up(result)
        return job

    def _make(self, result: Result) -> Job:
        case = result.case
        model = self._models.of("fp32" if case.kind == "train" else case.precision)
        embeddings = None
        if case.kind == "train":
            self._optimizer = self._optimizer or build_optimizer(self._cfg, model)
        elif case.kind == "predict" and self._encodes and not case.encode_names:
            embeddings, result.encode_s = self._encode(case.vocabulary)
        return make_job(case, self._cfg, model, self._files, embeddings, self._optimizer)

    def _encode(self, vocabulary: NameList) -> tuple[Tensor, float]:
        """The embeddings of the names, computed once for all cases, and the seconds that this took."""
        if vocabulary not in self._encoded:
            job = make_job(Case("set_vocabulary", "fast", "fp32", vocabulary), self._cfg, self._models.of("fp32"))
            start = time.perf_counter()
            embeddings = job()
            job.synchronize()
            self._encoded[vocabulary] = embeddings, time.perf_counter() - start
        return self._encoded[vocabulary]

    def _rates_of(self, device: torch.device, precision: str) -> Rates:
        if precision not in self._rates:
            self._rates[precision] = measure_rates(device, precision)
        return self._rates[precision]


def _share_work(results: list[Result]) -> None:
    """Copy the work of an uncompiled model to the compiled one, although fusion may move fewer bytes."""
    for result in results:
        eager = next((e for e in results if e.case == dataclasses.replace(result.case, compile_mode="")), None)
        if result.case.compile_mode and eager:
            result.work, result.rates = eager.work, eager.rates


def _time(result: Result, job: Job) -> bool:
    """Run a job and add its times to a result; False where the GPU's memory is not enough."""
    try:
        seconds, parts = job.timed()
    except torch.cuda.OutOfMemoryError:
        return False
    result.seconds.append(seconds)
    result.parts.append(parts)
    return True


def _give_up(result: Result) -> None:
    """Remove the times of a case that does not fit into the GPU's memory."""
    logger.warning("out of GPU memory: %s", result.case)
    result.seconds, result.parts = [], []
    _free_memory()


def _free_memory() -> None:
    gc.collect()
    torch.cuda.empty_cache()  # does nothing without a GPU


def _compare(results: list[Result]) -> None:
    """Compare each prediction with that of the plain form on its vocabulary, or else of the fast form in float32."""
    for result in results:
        if result.predictions is None:
            continue
        same = [each for each in results if each.predictions and each.case.vocabulary == result.case.vocabulary]
        reference = next((each for each in same if each.case.form == "plain"), None) or next(
            (each for each in same if each.case.precision == "fp32" and not each.case.compile_mode), None
        )
        if reference is not None and reference is not result:
            result.agreement = share_of_equal_pixels(result.predictions, reference.predictions)
            result.reference = str(reference.case)
    for result in results:
        result.predictions = None
