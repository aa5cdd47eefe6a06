"""Evaluators, and the loop that feeds them."""

import datetime
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from ..utils import comm
from ..utils.logger import log_every_n_seconds

__all__ = ["DatasetEvaluator", "DatasetEvaluators", "inference_context", "inference_on_dataset"]


class DatasetEvaluator:
    """Takes inputs and outputs of a model as they come, and then gives metrics."""

    def reset(self) -> None:
        """Begin a new evaluation."""

    def process(self, inputs: list[dict], outputs: list[Any]) -> None:
        """Take a batch of inputs and what the model made of them."""

    def evaluate(self) -> Mapping[str, Any] | None:
        """The metrics, {task: {metric: value}}, on the main process."""


class DatasetEvaluators(DatasetEvaluator):
    """Several evaluators as one.

    Args:
        evaluators: whose results have different keys.
    """

    def __init__(self, evaluators: Iterable[DatasetEvaluator]) -> None:
        self._evaluators = list(evaluators)

    def reset(self) -> None:
        for evaluator in self._evaluators:
            evaluator.reset()

    def process(self, inputs: list[dict], outputs: list[Any]) -> None:
        for evaluator in self._evaluators:
            evaluator.process(inputs, outputs)

    def evaluate(self) -> OrderedDict:
        results = OrderedDict()
        for evaluator in self._evaluators:
            result = evaluator.evaluate()
            if comm.is_main_process() and result is not None:
                for name, value in result.items():
                    if name in results:
                        raise AssertionError(f"Different evaluators produce results with the same key {name}.")
                    results[name] = value
        return results


def inference_on_dataset(
    model: nn.Module | Callable[[Any], Any],
    data_loader: Iterable,
    evaluator: DatasetEvaluator | list[DatasetEvaluator] | None,
    callbacks: Mapping[str, Callable[[], None]] | None = None,
) -> Mapping[str, Any]:
    """Run the model, in evaluation mode and without gradients, on all data, and evaluate; the speed is logged.

    Args:
        model: a module goes back to the mode it was in.
        data_loader: with a length.
        evaluator: one, several, or None to measure the speed alone.
        callbacks: ``on_start``, ``before_inference``, ``after_inference`` and ``on_end``.

    Returns:
        The evaluator's metrics; an empty dictionary where it has none, as on all processes but the main one.
    """
    logger = logging.getLogger(__name__)
    devices = comm.get_world_size()
    total = len(data_loader)
    logger.info(f"Start inference on {total} batches")
    evaluator = DatasetEvaluators(evaluator or []) if evaluator is None or isinstance(evaluator, list) else evaluator
    evaluator.reset()

    def call(name: str) -> None:
        (callbacks or {}).get(name, lambda: None)()

    warmup = min(5, total - 1)  # batches that are not timed
    with ExitStack() as stack:
        if isinstance(model, nn.Module):
            stack.enter_context(inference_context(model))
        stack.enter_context(torch.no_grad())
        call("on_start")
        data_time = compute_time = eval_time = 0.0
        start = end_of_last = time.perf_counter()
        for index, inputs in enumerate(data_loader):
            loaded = time.perf_counter()
            if index == warmup:
                start = end_of_last
                data_time = compute_time = eval_time = 0.0
            call("before_inference")
            outputs = model(inputs)
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # for the clock
            computed = time.perf_counter()
            call("after_inference")
            evaluator.process(inputs, outputs)
            evaluated = time.perf_counter()
            data_time += loaded - end_of_last
            compute_time += computed - loaded
            eval_time += evaluated - computed

            timed = index + 1 - warmup if index >= warmup else index + 1
            per_iter = (evaluated - start) / timed
            if index >= warmup * 2 or compute_time / timed > 5:
                eta = datetime.timedelta(seconds=int(per_iter * (total - index - 1)))
                log_every_n_seconds(
                    logging.INFO,
                    f"Inference done {index + 1}/{total}. Dataloading: {data_time / timed:.4f} s/iter. "
                    f"Inference: {compute_time / timed:.4f} s/iter. Eval: {eval_time / timed:.4f} s/iter. "
                    f"Total: {per_iter:.4f} s/iter. ETA={eta}",
                    n=5,
                    name=__name__,
                )
            end_of_last = time.perf_counter()
        call("on_end")

    seconds = time.perf_counter() - start
    timed = max(total - warmup, 1)
    for title, spent in (("inference time", seconds), ("inference pure compute time", compute_time)):
        logger.info(
            f"Total {title}: {datetime.timedelta(seconds=int(spent))} "
            f"({spent / timed:.6f} s / iter per device, on {devices} devices)"
        )
    results = evaluator.evaluate()
    return {} if results is None else results


@contextmanager
def inference_context(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
