"""The usual hooks."""

import datetime
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from fvcore.common.checkpoint import PeriodicCheckpointer as _PeriodicCheckpointer
from fvcore.common.timer import Timer

from ..evaluation.testing import flatten_results_dict
from ..utils import comm
from ..utils.events import EventWriter
from .train_loop import HookBase

__all__ = ["EvalHook", "HookBase", "IterationTimer", "LRScheduler", "PeriodicCheckpointer", "PeriodicWriter"]


class IterationTimer(HookBase):
    """Times each iteration (scalar ``time``, seconds) and sums up at the end. Other hooks' time is not counted.

    It comes first among hooks, so that its clock stops before theirs begin. The first ``warmup_iter`` iterations are
    not counted.
    """

    def __init__(self, warmup_iter: int = 3) -> None:
        self._warmup_iter = warmup_iter
        self._step_timer = Timer()

    def before_train(self) -> None:
        self._start_time = time.perf_counter()
        self._total_timer = Timer()
        self._total_timer.pause()

    def after_train(self) -> None:
        logger = logging.getLogger(__name__)
        total = time.perf_counter() - self._start_time
        steps = self._total_timer.seconds()
        iterations = self.trainer.storage.iter + 1 - self.trainer.start_iter - self._warmup_iter
        if iterations > 0 and steps > 0:
            logger.info(
                f"Overall training speed: {iterations} iterations in {_clock(steps)} ({steps / iterations:.4f} s / it)"
            )
        logger.info(f"Total training time: {_clock(total)} ({_clock(total - steps)} on hooks)")

    def before_step(self) -> None:
        self._step_timer.reset()
        self._total_timer.resume()

    def after_step(self) -> None:
        done = self.trainer.storage.iter - self.trainer.start_iter + 1
        if done >= self._warmup_iter:
            self.trainer.storage.put_scalars(time=self._step_timer.seconds())
        else:
            self._start_time = time.perf_counter()
            self._total_timer.reset()
        self._total_timer.pause()


def _clock(seconds: float) -> str:
    return str(datetime.timedelta(seconds=int(seconds)))


class PeriodicWriter(HookBase):
    """Calls writers every ``period`` iterations and at the end, and then closes them."""

    def __init__(self, writers: Iterable[EventWriter], period: int = 20) -> None:
        self._writers = list(writers)
        self._period = period

    def after_step(self) -> None:
        if (self.trainer.iter + 1) % self._period == 0 or self.trainer.iter == self.trainer.max_iter - 1:
            for writer in self._writers:
                writer.write()

    def after_train(self) -> None:
        for writer in self._writers:
            writer.write()  # what hooks have put after the last step, such as an evaluation
            writer.close()


class PeriodicCheckpointer(_PeriodicCheckpointer, HookBase):
    """fvcore's ``PeriodicCheckpointer`` as a hook."""

    def before_train(self) -> None:
        self.max_iter = self.trainer.max_iter

    def after_step(self) -> None:
        self.step(self.trainer.iter)


class LRScheduler(HookBase):
    """Steps the trainer's ``scheduler`` after each iteration, and reports the learning rate (scalar ``lr``)."""

    def before_train(self) -> None:
        self._group = self.get_best_param_group_id(self.trainer.optimizer)

    @staticmethod
    def get_best_param_group_id(optimizer: torch.optim.Optimizer) -> int:
        """The group whose rate is reported: of the most common initial rate, or with one each, the largest group."""
        groups = optimizer.param_groups
        rates = Counter(group["lr"] for group in groups)
        if len(rates) == len(groups):
            return max(range(len(groups)), key=lambda i: len(groups[i]["params"]))
        common = rates.most_common(1)[0][0]
        return next(i for i, group in enumerate(groups) if group["lr"] == common)

    def after_step(self) -> None:
        rate = self.trainer.optimizer.param_groups[self._group]["lr"]
        self.trainer.storage.put_scalar("lr", rate, smoothing_hint=False)
        self.trainer.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        return self.trainer.scheduler.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.trainer.scheduler.load_state_dict(state_dict)


class EvalHook(HookBase):
    """Evaluates every so many iterations, and at the end unless training broke off, and reports the numbers.

    Args:
        eval_period: in iterations; 0: at the end alone.
        eval_function: returns a nested dictionary of numbers, or nothing. All processes call it.
    """

    def __init__(self, eval_period: int, eval_function: Callable[[], Any]) -> None:
        self._period = eval_period
        self._func = eval_function

    def _evaluate(self) -> None:
        results = self._func()
        if results:
            flat = flatten_results_dict(results)
            for name, value in flat.items():
                try:
                    flat[name] = float(value)
                except (TypeError, ValueError) as error:
                    raise ValueError(f"An evaluation must return numbers, got '{name}' = {value!r}.") from error
            self.trainer.storage.put_scalars(**flat, smoothing_hint=False)
        comm.synchronize()  # one process that is late would look like slow training in the others

    def after_step(self) -> None:
        next_iter = self.trainer.iter + 1
        if self._period > 0 and next_iter % self._period == 0 and next_iter != self.trainer.max_iter:
            self._evaluate()

    def after_train(self) -> None:
        if self.trainer.iter + 1 >= self.trainer.max_iter:
            self._evaluate()
        del self._func  # it may hold what holds the trainer
