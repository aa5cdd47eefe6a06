"""Training: Detectron2's default trainer with the recipe's optimizer, an exact resume, and the results table."""

import json
import logging
import math
import os
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.engine import DefaultTrainer, TrainerBase, create_ddp_model, hooks
from detectron2.evaluation import DatasetEvaluator
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm
from detectron2.utils.events import CommonMetricPrinter, EventWriter, JSONWriter, TensorboardXWriter
from detectron2.utils.logger import setup_logger
from torch import nn

import errseg
from errseg.checkpoint import ERRSegCheckpointer
from errseg.data import build_test_loader, build_train_loader
from errseg.errors import UsageError
from errseg.evaluation import VocabularyEvaluator
from errseg.modeling.clip import RANDOM

from .keys import require_read_keys
from .optimizer import build_gradient_clipper, build_optimizer
from .overrides import results_of, train_loader
from .step import StepTrainer

__all__ = ["Trainer"]

LOG_PERIOD = 20  # iterations between console lines, and between points on TensorBoard

Scores = dict[str, dict[str, Any]]


class Trainer(DefaultTrainer):
    """Trains what a configuration describes.

    A run that was killed and resumed follows the loss curve of one that never was: data and random numbers of an
    iteration depend on the seed and the iteration alone, and ``metrics.json`` reads as one run. It holds each
    iteration's loss, unsmoothed; the console and TensorBoard get medians of twenty.

    A subclass overrides what it would of Detectron2's ``DefaultTrainer``, with the same signatures.
    """

    def __init__(self, cfg: CfgNode):
        # DefaultTrainer's own constructor builds the data loader before the first iteration is known, and a distributed
        # model for GPUs only.
        TrainerBase.__init__(self)
        for name in ("detectron2", "errseg"):  # a script that has set up none would see nothing
            if not logging.getLogger(name).isEnabledFor(logging.INFO):
                setup_logger(distributed_rank=comm.get_rank(), name=name)
        require_read_keys(cfg)
        self.cfg = cfg
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        on_cuda = next(model.parameters()).is_cuda
        if cfg.SOLVER.AMP.ENABLED and not on_cuda:
            logging.getLogger(__name__).info("SOLVER.AMP.ENABLED is for CUDA; this run on the CPU computes in float32.")
        model = create_ddp_model(
            model, broadcast_buffers=False, device_ids=[comm.get_local_rank()] if on_cuda else None
        )
        self._trainer = StepTrainer(
            model,
            optimizer,
            build_gradient_clipper(cfg),
            accumulation_steps=cfg.SOLVER.ACCUMULATION_STEPS,
            amp=cfg.SOLVER.AMP.ENABLED and on_cuda,
            seed=cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed() % 2**31,
        )
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = ERRSegCheckpointer(model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        self.register_hooks(self.build_hooks())

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """The model, with the vocabulary of the training data."""
        model = errseg.build_model(cfg)
        model.set_vocabulary(MetadataCatalog.get(cfg.DATASETS.TRAIN[0]).stuff_classes)
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        return build_optimizer(cfg, model)

    @classmethod
    def build_train_loader(
        cls, cfg: CfgNode, start_iteration: int | None = None, seed: int | None = None
    ) -> Iterable[list[dict[str, Any]]]:
        """The training loader. An override may take ``cfg`` alone, and is best built by ``errseg.data``'s function."""
        return build_train_loader(cfg, start_iteration, seed)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable[list[dict[str, Any]]]:
        return build_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator | list[DatasetEvaluator]:
        """An override's evaluators get the model's scores, ``{"sem_seg": (T, H, W)}``, and write their own files."""
        return VocabularyEvaluator(dataset_name, distributed=comm.get_world_size() > 1)

    @classmethod
    def test(
        cls,
        cfg: CfgNode,
        model: nn.Module,
        evaluators: DatasetEvaluator | Sequence[DatasetEvaluator] | None = None,
    ) -> Scores:
        """The scores of each data set of DATASETS.TEST; empty but in the main process.

        Args:
            cfg: the configuration.
            model: what is evaluated.
            evaluators: one for each data set; None: those of :meth:`build_evaluator`.

        Returns:
            ``{data set: {score: value}}``; where there is one data set, ``{"sem_seg": {score: value}}`` beside it, as
            Detectron2 has it.
        """
        is_default = cls.build_evaluator.__func__ is Trainer.build_evaluator.__func__
        return results_of(cls, cfg, model, evaluators, is_default)

    def build_hooks(self) -> list[hooks.HookBase]:
        """Timing, schedule, losses to metrics.json, checkpoints, evaluation, console and TensorBoard, in this order.

        Losses are on disk before a checkpoint is, so that none is missing after a resume.
        """
        built = [hooks.IterationTimer(), hooks.LRScheduler()]
        if comm.is_main_process():
            built += [
                hooks.PeriodicWriter([JSONWriter(str(self._metrics_file), window_size=1)], period=1),
                hooks.PeriodicCheckpointer(self.checkpointer, self.cfg.SOLVER.CHECKPOINT_PERIOD),
            ]
        built.append(hooks.EvalHook(self.cfg.TEST.EVAL_PERIOD, self._evaluate))
        if comm.is_main_process():
            built.append(hooks.PeriodicWriter(self.build_writers(), period=LOG_PERIOD))
        return built

    def build_writers(self) -> list[EventWriter]:
        return [CommonMetricPrinter(self.max_iter), TensorboardXWriter(self.cfg.OUTPUT_DIR)]

    def resume_or_load(self, resume: bool = True) -> None:
        """Go on from the last checkpoint of OUTPUT_DIR if asked for and there is one, else start from MODEL.WEIGHTS.

        Raises:
            UsageError: CLIP's weights are asked for, but neither they nor a checkpoint could be loaded.
        """
        cfg = self.cfg
        if not cfg.MODEL.WEIGHTS and not (resume and self.checkpointer.has_checkpoint()):
            require_clip_weights(cfg, self.checkpointer.model)
        super().resume_or_load(resume)
        if comm.is_main_process():
            if not resume:  # an earlier run's records and checkpoints in this folder are not this run's
                _truncate_records(self._metrics_file, 0)
                Path(cfg.OUTPUT_DIR, "last_checkpoint").unlink(missing_ok=True)
            else:
                _truncate_records(self._metrics_file, self.start_iter)

    def train(self) -> Scores | None:
        """Train from the current iteration on; returns the scores if TEST.EXPECTED_RESULTS asks for some."""
        loader = train_loader(type(self), self.cfg, start_iteration=self.start_iter, seed=self._trainer.seed)
        self._trainer.set_data_loader(loader)
        return super().train()

    def run_step(self) -> None:
        self._trainer.iter = self.iter
        self._trainer.run_step(self.after_backward)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "seed": self._trainer.seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        if self.cfg.SEED < 0:  # the run drew its seed when it began
            self._trainer.seed = state_dict["seed"]

    @property
    def _metrics_file(self) -> Path:
        return Path(self.cfg.OUTPUT_DIR) / "metrics.json"

    def _evaluate(self) -> Scores:
        self._last_eval_results = self.test(self.cfg, self.model)
        if self._last_eval_results and comm.is_main_process():
            # The writer of the losses has been at this iteration already, and never writes one twice.
            scores = {name: float(score) for name, score in flatten_results_dict(self._last_eval_results).items()}
            record = {name: score if math.isfinite(score) else None for name, score in scores.items()}
            with self._metrics_file.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"iteration": self.iter, **record}) + "\n")
        return self._last_eval_results


def require_clip_weights(cfg: CfgNode, model: nn.Module) -> None:
    """Refuse to train on random CLIP weights where others were asked for.

    Raises:
        UsageError: ``MODEL.CLIP.PRETRAINED`` names weights that could not be loaded.
    """
    source = getattr(getattr(model, "backbone", None), "clip_source", "")
    if cfg.MODEL.CLIP.PRETRAINED and source.startswith(RANDOM):
        raise UsageError(
            f"MODEL.CLIP.PRETRAINED = {cfg.MODEL.CLIP.PRETRAINED!r} could not be downloaded, and training on random "
            "CLIP weights teaches nothing; give a local file, or '' if random weights are meant."
        )


def _truncate_records(path: Path, iteration: int) -> None:
    """Cut a file of JSON lines at the first of ``iteration`` or later, or at one that a kill left unfinished."""
    if not path.is_file():
        return
    size = 0
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n") or json.loads(line)["iteration"] >= iteration:
            break
        size += len(line)
    os.truncate(path, size)
