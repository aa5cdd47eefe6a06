"""Jobs to time: each call predicts, trains one step, or encodes the names.

Shapes: T names, H x W the picture.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..modeling.num_kept import AutoKept
from .cases import PRECISIONS, Case
from .marks import Marks, clock_of


class Job:
    """One case, ready to run.

    Attributes:
        case: the case.
        device: the device that it runs on.
        marks: the marks of the model; None where the model is compiled, or has none.
    """

    marks: Marks | None = None

    def __init__(self, case: Case, device: torch.device):
        self.case = case
        self.device = device

    def __call__(self) -> Any:
        """Run once."""
        raise NotImplementedError

    def timed(self) -> tuple[float, dict[str, float]]:
        """Run once; the seconds until the result is complete, and the seconds of each part."""
        clock = clock_of(self.device)
        self.synchronize()
        start = clock.read()
        if self.marks:
            self.marks.start(clock)
        self()
        end = clock.read()
        self.synchronize()
        return clock.between(start, end), self.marks.split() if self.marks else {}

    def kept(self) -> int | None:
        """The largest number of names that an image of the timed batch keeps; None where it is the same for all."""
        return None

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def passed(self, part: str) -> None:
        """Mark the end of a part of the run."""
        if self.marks:
            self.marks.pass_by(part)


class Prediction(Job):
    """From images to label maps, with precomputed text embeddings, or from images and names.

    Args:
        case: of kind "predict".
        model: has a vocabulary and its text embeddings, unless the case encodes the names; used by this job only.
        batches: batches of test images; the first one is timed.
    """

    def __init__(self, case: Case, model: nn.Module, batches: list[list[dict]]):
        super().__init__(case, model.device)
        self.batches = batches
        self._model = model
        if case.compile_mode:
            # Without fullgraph, torch may silently run uncompiled after several models of one process
            model.segment = torch.compile(model.segment, mode=case.compile_mode, dynamic=False, fullgraph=True)
        else:
            self.marks = Marks(model, first="text" if case.encode_names else "input")

    @torch.no_grad()
    def predict(self, batch: list[dict]) -> list[Tensor]:
        """(H, W) ids of each image."""
        if self.case.compile_mode:
            torch.compiler.cudagraph_mark_step_begin()
        return self._model.label_maps(batch)

    def __call__(self) -> list[Tensor]:
        if self.case.encode_names:
            self._model.set_vocabulary(self.case.vocabulary.names, self.case.vocabulary.num_classes)
        label_maps = self.predict(self.batches[0])
        self.passed("output")
        return label_maps

    def predict_all(self) -> list[Tensor]:
        """The label maps of every batch, on the CPU, in the smallest type that holds them."""
        small = torch.int16 if len(self.case.vocabulary.names) < 2**15 else torch.int32
        return [labels.to("cpu", small) for batch in self.batches for labels in self.predict(batch)]

    @torch.no_grad()
    def kept(self) -> int | None:
        """See ``Job.kept``."""
        if not isinstance(self.case.vocabulary.num_classes, AutoKept):
            return None
        return max(len(view.kept) for views in self._model.predict_views(self.batches[0]) for view in views)


class TrainingStep(Job):
    """Forward, backward, gradient clipping and the optimizer's step, as ``errseg.engine.StepTrainer`` runs them.

    Args:
        case: of kind "train".
        model: in training mode, with its vocabulary; used by this job only.
        optimizer: the optimizer of the model's parameters.
        clip_gradients: clips the gradients of parameters in place.
        batch: images with labels.
    """

    def __init__(
        self,
        case: Case,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        clip_gradients: Callable,
        batch: list[dict],
    ):
        super().__init__(case, model.device)
        self.batch = batch
        self.marks = Marks(model, first="text")
        self._optimizer = optimizer
        self._clip_gradients = clip_gradients
        self._model = model
        self._dtype = getattr(torch, PRECISIONS[case.precision])
        self._scaler = torch.amp.GradScaler("cuda", enabled=case.precision == "fp16")

    def __call__(self) -> Tensor:
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32):
            loss = sum(self._model(self.batch).values())
        self.passed("loss")
        self._scaler.scale(loss).backward()
        self.passed("backward")
        self._scaler.unscale_(self._optimizer)
        self._clip_gradients([p for group in self._optimizer.param_groups for p in group["params"]])
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad()
        self.passed("optimizer")
        return loss.detach()


class Encoding(Job):
    """From names to text embeddings.

    Args:
        case: of kind "set_vocabulary".
        model: used by this job only.
    """

    def __init__(self, case: Case, model: nn.Module):
        super().__init__(case, model.device)
        self._model = model

    @torch.no_grad()
    def __call__(self) -> Tensor:
        self._model.set_vocabulary(self.case.vocabulary.names, self.case.vocabulary.num_classes)
        return self._model.text_embeddings
