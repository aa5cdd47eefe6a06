"""The training loop: a sequence of steps with hooks around each."""

import logging
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from ..outside import outside
from ..utils import comm
from ..utils.events import EventStorage, get_event_storage

__getattr__ = outside(globals())


class HookBase:
    """Something done around training steps. The trainer sets ``self.trainer``, a weak proxy of itself."""

    trainer: "TrainerBase" = None

    def before_train(self) -> None:
        """Called before the first iteration."""

    def after_train(self) -> None:
        """Called after the last iteration, or the exception that ended training."""

    def before_step(self) -> None:
        """Called before each iteration."""

    def after_backward(self) -> None:
        """Called after the gradients of each iteration are computed."""

    def after_step(self) -> None:
        """Called after each iteration."""

    def state_dict(self) -> dict[str, Any]:
        """What goes into checkpoints. A hook with a state also has ``load_state_dict``."""
        return {}


class TrainerBase:
    """The loop and its hooks; ``run_step`` is a subclass's."""

    def __init__(self) -> None:
        self._hooks: list[HookBase] = []
        self.iter: int = 0
        self.start_iter: int = 0
        self.max_iter: int
        self.storage: EventStorage

    def register_hooks(self, hooks: Iterable[HookBase | None]) -> None:
        """Add hooks, which run in the order of registering. None is left out."""
        hooks = [hook for hook in hooks if hook is not None]
        for hook in hooks:
            if not isinstance(hook, HookBase):
                raise AssertionError(f"A hook must be a HookBase, got {type(hook)}.")
            # A strong reference would make a cycle that keeps GPU memory until the garbage collector runs.
            hook.trainer = weakref.proxy(self)
        self._hooks.extend(hooks)

    def train(self, start_iter: int, max_iter: int) -> None:
        """Run the iterations ``start_iter`` to ``max_iter`` - 1."""
        logger = logging.getLogger(__name__)
        logger.info(f"Starting training from iteration {start_iter}")
        self.iter = self.start_iter = start_iter
        self.max_iter = max_iter
        with EventStorage(start_iter) as self.storage:
            try:
                self.before_train()
                for self.iter in range(start_iter, max_iter):
                    self.before_step()
                    self.run_step()
                    self.after_step()
                self.iter = max(start_iter, max_iter)  # after_train can tell a whole training from a broken one
            except Exception:
                logger.exception(f"Exception during training, in iteration {self.iter}:")
                raise
            finally:
                self.after_train()

    def before_train(self) -> None:
        for hook in self._hooks:
            hook.before_train()

    def after_train(self) -> None:
        self.storage.iter = self.iter
        for hook in self._hooks:
            hook.after_train()

    def before_step(self) -> None:
        self.storage.iter = self.iter
        for hook in self._hooks:
            hook.before_step()

    def after_backward(self) -> None:
        for hook in self._hooks:
            hook.after_backward()

    def after_step(self) -> None:
        for hook in self._hooks:
            hook.after_step()

    def run_step(self) -> None:
        """One iteration."""
        raise NotImplementedError(f"{type(self).__name__} must define run_step.")

    def state_dict(self) -> dict[str, Any]:
        """The iteration and the states of hooks, by class name (the first of each class)."""
        states: dict[str, Any] = {}
        for hook in self._hooks:
            state = hook.state_dict()
            if state:
                states.setdefault(type(hook).__qualname__, state)
        return {"iteration": self.iter, **({"hooks": states} if states else {})}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.iter = state_dict["iteration"]
        for name, state in state_dict.get("hooks", {}).items():
            hook = next((hook for hook in self._hooks if type(hook).__qualname__ == name), None)
            if hook is None:
                logging.getLogger(__name__).warning(f"Cannot find the hook '{name}', its state_dict is ignored.")
            else:
                hook.load_state_dict(state)


class SimpleTrainer(TrainerBase):
    """One model, one optimiser, one stream of data: loss, gradient, step.

    Args:
        model: from a batch to a loss, or to a dictionary of losses, which are summed. It is set to training mode.
        data_loader: endless.
        optimizer: of the model.
    """

    def __init__(self, model: torch.nn.Module, data_loader: Iterable, optimizer: torch.optim.Optimizer) -> None:
        super().__init__()
        self.model = model.train()
        self.data_loader = data_loader
        self.optimizer = optimizer
        self._batches: Iterator | None = None  # made at the first step: until then the loader may be replaced

    def run_step(self) -> None:
        """One step of the optimizer.

        Raises:
            AssertionError: something has left the model in evaluation mode.
            FloatingPointError: the sum of losses is not finite; the weights are then those of before.
        """
        if not self.model.training:
            raise AssertionError("[SimpleTrainer] model was changed to eval mode! Call model.train() after that.")
        self._batches = self._batches or iter(self.data_loader)
        start = time.perf_counter()
        data = next(self._batches)
        data_time = time.perf_counter() - start
        losses = self.model(data)
        if isinstance(losses, torch.Tensor):
            losses = {"total_loss": losses}
        self.optimizer.zero_grad()
        sum(losses.values()).backward()
        self.after_backward()
        self._write_metrics({name: loss.item() for name, loss in losses.items()}, data_time)
        self.optimizer.step()

    def _write_metrics(self, losses: Mapping[str, float], data_time: float) -> None:
        """Put the losses, averaged over processes, their sum, and the slowest process's data time into the storage."""
        get_event_storage().put_scalar("rank_data_time", data_time)
        gathered = comm.all_gather((losses, data_time))
        means = {name: float(np.mean([of[name] for of, _ in gathered])) for name in losses}
        total = sum(means.values())
        if not np.isfinite(total):
            raise FloatingPointError(f"Loss became infinite or NaN at iteration={self.iter}! loss_dict = {means}")
        if comm.is_main_process():
            storage = get_event_storage()
            storage.put_scalars(data_time=max(seconds for _, seconds in gathered), total_loss=total)
            if len(means) > 1:
                storage.put_scalars(**means)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.optimizer.load_state_dict(state_dict["optimizer"])
