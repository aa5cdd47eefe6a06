"""The base of evaluators, and the evaluation loop."""

import datetime
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..outside import outside
from ..utils import comm

__getattr__ = outside(globals())


class DatasetEvaluator:
    """Computes metrics from the inputs and outputs of a model, batch by batch."""

    def reset(self) -> None:
        """Forget all earlier batches."""

    def process(self, inputs: list[dict], outputs: list[Any]) -> None:
        """Add a batch of inputs and the model's outputs for them."""

    def evaluate(self) -> Mapping[str, Any] | None:
        """Return the metrics on the main process: {task: {metric: value}}."""


class DatasetEvaluators(DatasetEvaluator):
    """Several evaluators as one. No two of them may return the same task."""

    def __init__(self, evaluators: Sequence[DatasetEvaluator]) -> None:
        self._evaluators = evaluators

    def reset(self) -> None:
        for evaluator in self._evaluators:
            evaluator.reset()

    def process(self, inputs: list[dict], outputs: list[Any]) -> None:
        for evaluator in self._evaluators:
            evaluator.process(inputs, outputs)

    def evaluate(self) -> dict[str, Any]:
        results = {}
        for evaluator in self._evaluators:
            of_one = evaluator.evaluate()
            if not comm.is_main_process() or of_one is None:
                continue
            if results.keys() & of_one.keys():
                raise AssertionError(f"Two evaluators give results of {', '.join(results.keys() & of_one.keys())}.")
            results.update(of_one)
        return results


def inference_on_dataset(
    model: nn.Module | Callable[[Any], Any],
    data_loader: Iterable,
    evaluator: DatasetEvaluator | Sequence[DatasetEvaluator] | None,
) -> Mapping[str, Any]:
    """Run the model on all data in evaluation mode, without gradients, and evaluate it. The speed is logged.

    Args:
        model: a module is returned to its mode (training or evaluation) at the end.
        data_loader: must have a length.
        evaluator: is reset first. None: only the speed is measured.

    Returns:
        The metrics of the evaluator, or of all of them; an empty dictionary if there are none, as on every process
        except the main one.
    """
    if not isinstance(evaluator, DatasetEvaluator):
        evaluator = DatasetEvaluators(evaluator or ())
    was_training = isinstance(model, nn.Module) and model.training
    if was_training:
        model.eval()
    try:
        with torch.no_grad():
            _run(model, data_loader, evaluator)
    finally:
        if was_training:
            model.train()
    results = evaluator.evaluate()
    return {} if results is None else results


def _run(model: Callable[[Any], Any], data_loader: Iterable, evaluator: DatasetEvaluator) -> None:
    logger = logging.getLogger(__name__)
    total = len(data_loader)
    logger.info(f"Start inference on {total} batches")
    evaluator.reset()
    warmup = min(5, total - 1)  # batches that are not timed
    seconds = {"Dataloading": 0.0, "Inference": 0.0, "Eval": 0.0}
    timed, last_log = 0, float("-inf")
    start = end_of_last = time.perf_counter()
    for index, inputs in enumerate(data_loader):
        if index == warmup:
            seconds, timed, start = dict.fromkeys(seconds, 0.0), 0, end_of_last
        loaded = time.perf_counter()
        outputs = model(inputs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # for the clock
        computed = time.perf_counter()
        evaluator.process(inputs, outputs)
        now = time.perf_counter()
        timed += 1
        for stage, spent in zip(seconds, (loaded - end_of_last, computed - loaded, now - computed), strict=True):
            seconds[stage] += spent
        end_of_last = now
        if now - last_log >= 5 and (index >= warmup * 2 or seconds["Inference"] / timed > 5):
            last_log = now
            stages = " ".join(f"{stage}: {spent / timed:.4f} s/iter." for stage, spent in seconds.items())
            per_batch = (now - start) / timed
            eta = datetime.timedelta(seconds=int(per_batch * (total - index - 1)))
            logger.info(f"Inference done {index + 1}/{total}. {stages} Total: {per_batch:.4f} s/iter. ETA={eta}")

    spent_by = {"inference time": end_of_last - start, "inference pure compute time": seconds["Inference"]}
    for title, spent in spent_by.items():
        logger.info(
            f"Total {title}: {datetime.timedelta(seconds=int(spent))} "
            f"({spent / max(timed, 1):.6f} s / iter per device, on {comm.get_world_size()} devices)"
        )
