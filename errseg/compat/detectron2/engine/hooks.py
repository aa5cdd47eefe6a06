"""The usual hooks."""

import datetime
import logging
import math
import operator
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from fvcore.common.checkpoint import Checkpointer
from fvcore.common.checkpoint import PeriodicCheckpointer as _PeriodicCheckpointer
from fvcore.common.param_scheduler import ParamScheduler
from fvcore.common.timer import Timer

from ..evaluation.testing import flatten_results_dict
from ..outside import outside
from ..solver import LRMultiplier
from ..utils import comm
from ..utils.events import EventWriter
from .train_loop import HookBase

__all__ = [
    "BestCheckpointer",
    "EvalHook",
    "HookBase",
    "IterationTimer",
    "LRScheduler",
    "PeriodicCheckpointer",
    "PeriodicWriter",
]

__getattr__ = outside(globals())


class IterationTimer(HookBase):
    """Times each iteration (scalar ``time``, seconds), and logs the total at the end.

    Register it first, so that the time of other hooks is not counted. The first ``warmup_iter`` iterations are not
    counted either.
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
    """Calls writers every ``period`` iterations and at the end; then closes them."""

    def __init__(self, writers: Iterable[EventWriter], period: int = 20) -> None:
        self._writers = list(writers)
        self._period = period

    def after_step(self) -> None:
        if (self.trainer.iter + 1) % self._period == 0 or self.trainer.iter == self.trainer.max_iter - 1:
            for writer in self._writers:
                writer.write()

    def after_train(self) -> None:
        for writer in self._writers:
            writer.write()  # scalars that hooks have added after the last step
            writer.close()


class PeriodicCheckpointer(_PeriodicCheckpointer, HookBase):
    """fvcore's ``PeriodicCheckpointer`` as a hook."""

    def before_train(self) -> None:
        self.max_iter = self.trainer.max_iter

    def after_step(self) -> None:
        self.step(self.trainer.iter)


class BestCheckpointer(HookBase):
    """Saves a checkpoint when an evaluation gives the best value so far. Register it after the ``EvalHook``.

    Args:
        eval_period: the same as the ``EvalHook``'s.
        checkpointer: saves the checkpoint.
        val_metric: name of the scalar, such as ``sem_seg/mIoU``.
        mode: ``max`` or ``min``: whether the largest or the smallest value is best.
        file_prefix: name of the checkpoint, without its ending.
    """

    def __init__(
        self,
        eval_period: int,
        checkpointer: Checkpointer,
        val_metric: str,
        mode: str = "max",
        file_prefix: str = "model_best",
    ) -> None:
        if mode not in ("max", "min"):
            raise AssertionError(f"The mode {mode!r} of BestCheckpointer is unknown: choose max or min.")
        self._period = eval_period
        self._checkpointer = checkpointer
        self._metric = val_metric
        self._is_better = operator.gt if mode == "max" else operator.lt
        self._file_prefix = file_prefix
        self.best_metric: float | None = None
        self.best_iter: int | None = None

    def _save_if_best(self) -> None:
        logger = logging.getLogger(__name__)
        if self._metric not in self.trainer.storage.latest():
            logger.warning(f"There is no scalar {self._metric}, so that no best checkpoint is saved for it.")
            return
        value, iteration = self.trainer.storage.latest()[self._metric]
        if not math.isfinite(value) or (self.best_metric is not None and not self._is_better(value, self.best_metric)):
            logger.info(f"Not saved: {self._metric} is {value:.5f}, and {self.best_metric} was at {self.best_iter}.")
            return
        self._checkpointer.save(self._file_prefix, iteration=iteration)
        self.best_metric, self.best_iter = value, iteration
        logger.info(f"Saved the best model: {self._metric} is {value:.5f} at iteration {iteration}.")

    def after_step(self) -> None:
        next_iter = self.trainer.iter + 1
        if self._period > 0 and next_iter % self._period == 0 and next_iter != self.trainer.max_iter:
            self._save_if_best()

    def after_train(self) -> None:
        if self.trainer.iter + 1 >= self.trainer.max_iter:
            self._save_if_best()


class LRScheduler(HookBase):
    """Steps a scheduler after each iteration, and reports the learning rate (scalar ``lr``).

    Args:
        optimizer: None: the trainer's.
        scheduler: torch's, or fvcore's multiplier of the rates over the training; None: the trainer's ``scheduler``.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer | None = None,
        scheduler: torch.optim.lr_scheduler.LRScheduler | ParamScheduler | None = None,
    ) -> None:
        self._optimizer = optimizer
        self._scheduler = scheduler

    @property
    def scheduler(self) -> torch.optim.lr_scheduler.LRScheduler | ParamScheduler:
        return self._scheduler or self.trainer.scheduler

    def before_train(self) -> None:
        self._optimizer = self._optimizer or self.trainer.optimizer
        if isinstance(self.scheduler, ParamScheduler):
            last = self.trainer.iter - 1
            self._scheduler = LRMultiplier(self._optimizer, self.scheduler, self.trainer.max_iter, last_iter=last)
        self._group = self.get_best_param_group_id(self._optimizer)

    @staticmethod
    def get_best_param_group_id(optimizer: torch.optim.Optimizer) -> int:
        """The group whose rate is reported: the largest or, if all have one parameter, one of the most common rate."""
        groups = optimizer.param_groups
        sizes = [len(group["params"]) for group in groups]
        if max(sizes) > 1:
            return sizes.index(max(sizes))
        rates = [group["lr"] for group in groups]
        return rates.index(Counter(rates).most_common(1)[0][0])

    def after_step(self) -> None:
        rate = self._optimizer.param_groups[self._group]["lr"]
        self.trainer.storage.put_scalar("lr", rate, smoothing_hint=False)
        self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        return {} if isinstance(self.scheduler, ParamScheduler) else self.scheduler.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        if not isinstance(self.scheduler, ParamScheduler):
            self.scheduler.load_state_dict(state_dict)


class EvalHook(HookBase):
    """Evaluates every ``eval_period`` iterations and after a complete training, and reports the numbers.

    Args:
        eval_period: in iterations; 0: at the end alone.
        eval_function: returns a nested dictionary of numbers, or nothing. All processes call it.
        eval_after_train: evaluate at the end.
    """

    def __init__(self, eval_period: int, eval_function: Callable[[], Any], eval_after_train: bool = True) -> None:
        self._period = eval_period
        self._func = eval_function
        self._eval_after_train = eval_after_train

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
        comm.synchronize()  # else waiting for a slow process would be counted as training time

    def after_step(self) -> None:
        next_iter = self.trainer.iter + 1
        if self._period > 0 and next_iter % self._period == 0 and next_iter != self.trainer.max_iter:
            self._evaluate()

    def after_train(self) -> None:
        if self._eval_after_train and self.trainer.iter + 1 >= self.trainer.max_iter:
            self._evaluate()
        del self._func  # it may hold what holds the trainer
