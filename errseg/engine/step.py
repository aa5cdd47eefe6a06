"""One optimisation step: mixed precision, gradient accumulation, gradient clipping, and a check of the losses."""

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from detectron2.engine import TrainerBase
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from errseg.errors import UsageError
from errseg.memory import memory_for

__all__ = ["StepTrainer"]


class StepTrainer(TrainerBase):
    """Runs single iterations for :class:`errseg.engine.Trainer`, which sets the iteration number ``iter``.

    The images of an iteration are divided into ``accumulation_steps`` equal batches. The gradient is that of their mean
    loss: the gradient of one large batch, up to rounding. The model's random numbers depend on (seed, iteration, rank).
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        clip_gradients: Callable[[Iterable[nn.Parameter]], None],
        *,
        accumulation_steps: int = 1,
        amp: bool = False,
        seed: int = 0,
    ):
        """
        Args:
            model: returns a dict of losses in training mode; may be wrapped for distributed training.
            optimizer: the optimizer of the model's parameters.
            clip_gradients: clips the gradients of parameters in place.
            accumulation_steps: batches in an iteration.
            amp: float16 autocast with loss scaling; for CUDA models.
            seed: the same in every process.
        """
        super().__init__()
        self.model = model.train()
        self.optimizer = optimizer
        self.clip_gradients = clip_gradients
        self.accumulation_steps = accumulation_steps
        self.amp = amp
        self.seed = seed
        self.data_loader: Iterable[list[dict[str, Any]]] = ()
        self._batches = iter(())
        self.grad_scaler = torch.amp.GradScaler("cuda", enabled=amp)

    def set_data_loader(self, data_loader: Iterable[list[dict[str, Any]]]) -> None:
        """Set the source of the batches. An iteration takes ``accumulation_steps`` of them."""
        self.data_loader = data_loader
        self._batches = iter(data_loader)

    def memory(self) -> AbstractContextManager:
        """A context for the whole training; on the CPU, the process keeps freed memory in it."""
        return memory_for(next(self.model.parameters()).device.type)

    def run_step(self, after_backward: Callable[[], None] | None = None) -> None:
        """Forward, backward and update for the next ``accumulation_steps`` batches.

        Args:
            after_backward: called when the gradients are complete; None: this trainer's own hooks.

        Raises:
            FloatingPointError: the loss is not finite; the weights are unchanged.
            UsageError: the model is in evaluation mode.
        """
        if not (self.model.training and getattr(self.model, "module", self.model).training):
            raise UsageError(
                f"The model was changed to eval mode! At iteration {self.iter} it is not in training mode: a hook that "
                "calls model.eval() has to call model.train() after it."
            )
        key = np.random.SeedSequence((self.seed, self.iter, comm.get_rank()))
        torch.manual_seed(int(key.generate_state(1, np.uint64)[0] >> np.uint64(1)))
        data_time, losses, file_names = 0.0, [], []
        for part in range(self.accumulation_steps):
            start = time.perf_counter()
            batch = next(self._batches)
            data_time += time.perf_counter() - start
            file_names.append([x.get("file_name", "?") for x in batch])
            losses.append(self._backward(batch, is_last=part == self.accumulation_steps - 1))
        (after_backward or self.after_backward)()
        self._write_metrics(losses, data_time, file_names)

        self.grad_scaler.unscale_(self.optimizer)
        self.clip_gradients([p for group in self.optimizer.param_groups for p in group["params"]])
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()
        self.optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        state = {**super().state_dict(), "optimizer": self.optimizer.state_dict()}
        return {**state, "grad_scaler": self.grad_scaler.state_dict()} if self.amp else state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.optimizer.load_state_dict(state_dict["optimizer"])
        if self.amp and "grad_scaler" in state_dict:  # absent where the checkpoint was written without AMP
            self.grad_scaler.load_state_dict(state_dict["grad_scaler"])

    def _backward(self, batch: list[dict[str, Any]], is_last: bool) -> dict[str, torch.Tensor]:
        """Add the gradients of one batch, divided by ``accumulation_steps``; return its losses, detached."""
        distributed = isinstance(self.model, DistributedDataParallel)
        # The processes exchange gradients once in an iteration, with the last batch.
        with self.model.no_sync() if distributed and not is_last else nullcontext():
            with torch.autocast("cuda", torch.float16, enabled=self.amp):
                losses = self.model(batch)
                if isinstance(losses, torch.Tensor):  # Detectron2 accepts a single loss too
                    losses = {"total_loss": losses}
                loss = sum(losses.values()) / self.accumulation_steps
            self.grad_scaler.scale(loss).backward()
        return {name: value.detach() for name, value in losses.items()}

    def _write_metrics(
        self, parts: list[dict[str, torch.Tensor]], data_time: float, file_names: list[list[str]]
    ) -> None:
        """Put the losses, averaged over batches and processes, and the longest data time into the event storage.

        Args:
            parts: the losses of each batch of the iteration.
            data_time: seconds spent waiting for data.
            file_names: the names of the images of each batch.

        Raises:
            FloatingPointError: a loss is not finite.
        """
        names = list(parts[0])
        # One transfer from the device for all batches and losses.
        values = torch.stack([torch.stack([part[name].float() for name in names]) for part in parts]).cpu()
        is_bad = (~values.isfinite()).any(1).tolist()
        bad_files = [name for bad, files in zip(is_bad, file_names, strict=True) if bad for name in files]
        gathered = comm.all_gather({"losses": values.mean(0).tolist(), "data_time": data_time, "bad_files": bad_files})
        losses = dict(zip(names, np.mean([x["losses"] for x in gathered], axis=0).tolist(), strict=True))
        bad_files = [name for x in gathered for name in x["bad_files"]]
        if bad_files:
            raise FloatingPointError(
                f"The loss is not finite at iteration {self.iter}: {losses}, for the files {', '.join(bad_files)}; "
                "look at these files, or lower SOLVER.BASE_LR or turn SOLVER.AMP.ENABLED off."
            )
        if comm.is_main_process():
            storage = get_event_storage()
            storage.put_scalar("data_time", max(x["data_time"] for x in gathered))
            storage.put_scalar("total_loss", sum(losses.values()))
            if len(losses) > 1:
                storage.put_scalars(**losses)
