"""Training: Detectron2's default trainer with the recipe's optimizer, an exact resume, and the results table."""

import logging
import math
import os
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.engine import DefaultTrainer, TrainerBase, create_ddp_model, hooks
from detectron2.evaluation import DatasetEvaluator
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.solver import LRMultiplier
from detectron2.utils import comm
from detectron2.utils.events import EventWriter
from detectron2.utils.logger import setup_logger
from torch import nn

from errseg.checkpoint import check_trainer
from errseg.data import build_test_loader, build_train_loader
from errseg.errors import UsageError
from errseg.evaluation import build_evaluator, check_names, check_split
from errseg.failures import explained
from errseg.modeling import build_model
from errseg.modeling.weights import require_weights

from .best import Best, EvalHook, keep_best, stop_if_due, stopping
from .changes import changes, describe, refuse, sets_optimizer, settings_to_save
from .keys import require_read_keys
from .optimizer import build_gradient_clipper, build_optimizer
from .overrides import results_of, train_loader
from .quiet import one_sentence
from .records import Records, RecordWriter
from .resume import Progress, RunCheckpointer, hold, lacks_evaluation, require_resumable
from .schedule import build_lr_scheduler
from .step import StepTrainer
from .writers import build_writers

__all__ = ["Trainer"]

LOG_PERIOD = 20  # iterations between console lines, and between points on TensorBoard

Scores = dict[str, dict[str, Any]]


class Trainer(DefaultTrainer):
    """Trains the model that a configuration describes.

    A resumed run follows the loss curve of an uninterrupted one: the data depend on the seed and the number of images
    seen, and the random numbers on the seed and the iteration. ``metrics.json`` holds the unsmoothed loss of each
    iteration, in one sequence; the console and TensorBoard show medians of twenty iterations.

    A subclass may override the methods of Detectron2's ``DefaultTrainer``, with the same signatures.
    """

    def __init__(self, cfg: CfgNode):
        # DefaultTrainer.__init__ builds the data loader before the first iteration is known, and a distributed model
        # for GPUs only.
        TrainerBase.__init__(self)
        for name in ("detectron2", "errseg"):  # a script without a logger would see no output
            if not logging.getLogger(name).isEnabledFor(logging.INFO):
                setup_logger(distributed_rank=comm.get_rank(), name=name)
        require_read_keys(cfg)
        self.cfg = cfg
        self.best_evaluation = Best.of(cfg)
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        with explained(cfg.OUTPUT_DIR):
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
        self.checkpointer = RunCheckpointer(model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        self.checkpointer.records = self.records = Records(cfg.OUTPUT_DIR)
        self._progress = Progress.start()  # the progress at ``start_iter``
        self._has_begun = False
        self._lacks_evaluation = False
        self.register_hooks(self.build_hooks())

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """The model, with the vocabulary of the training data."""
        model = build_model(cfg)
        model.set_vocabulary(MetadataCatalog.get(cfg.DATASETS.TRAIN[0]).stuff_classes)
        check_names(model, cfg.DATASETS.TEST)
        check_split(cfg, cfg.DATASETS.TEST)
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        return build_lr_scheduler(cfg, optimizer)

    @classmethod
    def build_train_loader(
        cls,
        cfg: CfgNode,
        start_iteration: int | None = None,
        seed: int | None = None,
        start_image: int | None = None,
    ) -> Iterable[list[dict[str, Any]]]:
        """The training loader. An override may take only ``cfg``; it should call ``errseg.data.build_train_loader``."""
        return build_train_loader(cfg, start_iteration, seed, start_image=start_image)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable[list[dict[str, Any]]]:
        return build_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator | list[DatasetEvaluator]:
        """An override's evaluators get the model's scores, ``{"sem_seg": (T, H, W)}``, and write their own files."""
        return build_evaluator(cfg, dataset_name)

    @classmethod
    def test(
        cls,
        cfg: CfgNode,
        model: nn.Module,
        evaluators: DatasetEvaluator | Sequence[DatasetEvaluator] | None = None,
    ) -> Scores:
        """The scores of each data set of DATASETS.TEST. Only the main process returns them; the others return {}.

        Args:
            cfg: the configuration.
            model: the model to evaluate.
            evaluators: one for each data set; None: those of :meth:`build_evaluator`.

        Returns:
            ``{data set: {score: value}}``. A single data set adds ``{"sem_seg": {score: value}}``, as in Detectron2.
        """
        is_default = cls.build_evaluator.__func__ is Trainer.build_evaluator.__func__
        return results_of(cls, cfg, model, evaluators, is_default)

    def build_hooks(self) -> list[hooks.HookBase]:
        """Timing, schedule, losses to metrics.json, checkpoints, evaluation, console and TensorBoard, in this order.

        The losses of an iteration are written before its checkpoint, so that a resume misses none of them.
        """
        built = [hooks.IterationTimer(), hooks.LRScheduler()]
        if comm.is_main_process():
            built += [
                hooks.PeriodicWriter([RecordWriter(self.records)], period=1),
                hooks.PeriodicCheckpointer(self.checkpointer, self.cfg.SOLVER.CHECKPOINT_PERIOD),
            ]
        built.append(EvalHook(self.cfg.TEST.EVAL_PERIOD, self._evaluate))
        if comm.is_main_process():
            built.append(hooks.PeriodicWriter(self.build_writers(), period=LOG_PERIOD))
        return built

    def build_writers(self) -> list[EventWriter]:
        return build_writers(self.cfg, self.max_iter, lambda: self._progress.run)

    def resume_or_load(self, resume: bool = True) -> None:
        """Resume from OUTPUT_DIR's last checkpoint, if asked and if there is one; otherwise start from MODEL.WEIGHTS.

        The files of an earlier run in OUTPUT_DIR stay until the first checkpoint of a new run.

        Raises:
            UsageError: MODEL.CLIP.PRETRAINED names weights, but neither they nor a checkpoint could be loaded.
            UsageError: the run cannot be resumed with this configuration, such as with another SOLVER.OPTIMIZER.
        """
        cfg = self.cfg
        resume = resume and require_resumable(self.checkpointer)
        if not cfg.MODEL.WEIGHTS and not resume:
            require_weights(cfg, self.checkpointer.model)
        super().resume_or_load(resume)
        if self.start_iter > self.max_iter:
            raise UsageError(
                f"--resume: SOLVER.MAX_ITER is {self.max_iter}, but the run has {self.start_iter} iterations; raise "
                "it, or evaluate with --eval-only."
            )
        self._begin(resume)

    def train(self) -> Scores | None:
        """Train from the current iteration on. Returns the scores if TEST.EXPECTED_RESULTS is set.

        Raises:
            UsageError: OUTPUT_DIR cannot be written, or a data worker died; the last checkpoint is complete.
        """
        folder = self.cfg.OUTPUT_DIR
        with explained(folder), hold(folder), one_sentence(folder, TrainerBase.__module__):
            if not self._has_begun:
                self._begin(resumed=False)
            position = {"start_iteration": self.start_iter, "start_image": self._progress.images_seen}
            loader = train_loader(type(self), self.cfg, seed=self._trainer.seed, **position)
            self._trainer.set_data_loader(loader)
            with stopping(), self._trainer.memory():
                return super().train()
        return None

    def before_train(self) -> None:
        super().before_train()
        self.iter = self.start_iter - 1  # the iteration of the checkpoint
        if self._lacks_evaluation:
            logging.getLogger(__name__).info("The evaluation after iteration %d is made up for.", self.iter)
            scores = self._evaluate()
            if scores:
                self.storage.put_scalars(**flatten_results_dict(scores), smoothing_hint=False, cur_iter=self.iter)
            comm.synchronize()
        stop_if_due(self)

    def after_train(self) -> None:
        self.iter = min(self.iter, self.max_iter)  # Detectron2 counts one too many when a finished run is resumed
        super().after_train()

    def run_step(self) -> None:
        self._trainer.iter = self.iter
        self._trainer.run_step(self.after_backward)

    def state_dict(self) -> dict[str, Any]:
        iterations = self.iter + 1 - self.start_iter
        return {
            **super().state_dict(),
            "seed": self._trainer.seed,
            "run": self._progress.run,
            "images_seen": self._progress.images_seen + iterations * self.cfg.SOLVER.IMS_PER_BATCH,
            "config": settings_to_save(self.cfg),
            **({} if self.best_evaluation is None else {"best": self.best_evaluation.state_dict()}),
        }

    def check_state_dict(self, state_dict: Any, path: str) -> None:
        """Refuse the state in the checkpoint ``path`` from which this run cannot continue.

        Raises:
            UsageError: an entry is missing or does not fit this run, or a key has changed on which the state depends.
        """
        refuse(changes(state_dict.get("config"), self.cfg) if isinstance(state_dict, dict) else [])
        check_trainer(path, state_dict, self.state_dict(), self.optimizer)
        if self.best_evaluation is not None:
            self.best_evaluation.check_state_dict(state_dict.get("best"), path)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        found = changes(state_dict.get("config"), self.cfg)
        configured = [{**group} for group in self.optimizer.param_groups]
        super().load_state_dict(state_dict)
        can_set = isinstance(self.scheduler, LRMultiplier)
        if sets_optimizer(found) and can_set:
            self._set_optimizer(configured)
        if found:
            logging.getLogger(__name__).warning(describe(found, self.iter, keeps_schedule=not can_set))
        self._progress = Progress.read(state_dict, self.cfg.SOLVER.IMS_PER_BATCH)
        if self.cfg.SEED < 0:  # the run drew its seed when it began
            self._trainer.seed = state_dict["seed"]
        if self.best_evaluation is not None:
            self.best_evaluation.load_state_dict(state_dict.get("best"))

    def _begin(self, resumed: bool) -> None:
        """Prepare the records for the first iteration, and find out whether an evaluation is missing."""
        self._has_begun, lacks = True, False
        if comm.is_main_process():
            with explained(self.cfg.OUTPUT_DIR), hold(self.cfg.OUTPUT_DIR):
                if resumed:
                    records = self.records.go_on(self._progress.run, self.start_iter)
                    lacks = lacks_evaluation(records, self.start_iter, self.max_iter, self.cfg.TEST.EVAL_PERIOD)
                    for record in records:  # the evaluation after the checkpoint is not in the checkpoint
                        if record["iteration"] == self.start_iter - 1 and "total_loss" not in record:
                            keep_best(self, record)
                else:
                    self.records.start_anew(self._progress.run)
        self._lacks_evaluation = any(comm.all_gather(lacks))

    def _set_optimizer(self, configured: list[dict[str, Any]]) -> None:
        """Apply the configuration's settings to the restored optimizer and schedule; the optimizer's state stays."""
        for group, own in zip(self.optimizer.param_groups, configured, strict=True):
            group.update({key: value for key, value in own.items() if key not in ("params", "lr")})
        self.scheduler.base_lrs = [own["initial_lr"] for own in configured]
        for group, rate in zip(self.optimizer.param_groups, self.scheduler.get_lr(), strict=True):
            group["lr"] = rate

    def _evaluate(self) -> Scores:
        self._last_eval_results = self.test(self.cfg, self.model)
        if self._last_eval_results and comm.is_main_process():
            # RecordWriter writes each iteration once and has written this one already.
            scores = {name: float(score) for name, score in flatten_results_dict(self._last_eval_results).items()}
            record = {name: score if math.isfinite(score) else None for name, score in scores.items()}
            self.records.append({"iteration": self.iter, **record})
            keep_best(self, {"iteration": self.iter, **record})
        return self._last_eval_results
