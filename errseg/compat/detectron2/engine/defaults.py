"""The set-up of a run and the usual trainer."""

import argparse
import logging
import os
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from ..checkpoint import DetectionCheckpointer
from ..config import CfgNode
from ..evaluation import DatasetEvaluator, inference_on_dataset, verify_results
from ..modeling import build_model
from ..outside import outside
from ..solver import build_lr_scheduler
from ..utils import comm
from ..utils.collect_env import collect_env_info
from ..utils.env import seed_all_rng
from ..utils.events import CommonMetricPrinter, EventWriter, JSONWriter, TensorboardXWriter
from ..utils.file_io import PathManager
from ..utils.logger import setup_logger
from . import hooks
from .train_loop import HookBase, SimpleTrainer, TrainerBase

__getattr__ = outside(globals())


def default_argument_parser(epilog: str | None = None) -> argparse.ArgumentParser:
    """The options of a training tool; ``--help`` ends with ``epilog``."""
    parser = argparse.ArgumentParser(epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--config-file", default="", metavar="FILE", help="path of a YAML configuration")
    add("--resume", action="store_true", help="go on from the last checkpoint in OUTPUT_DIR, if there is one")
    add("--eval-only", action="store_true", help="evaluate, do not train")
    add("--num-gpus", type=int, default=1, help="processes *per machine*, each with a GPU where there is CUDA")
    add("--num-machines", type=int, default=1, help="number of machines")
    add("--machine-rank", type=int, default=0, help="number of this machine, from 0")
    add("--dist-url", default="auto", help="where processes meet: tcp://<host of machine 0>:<port>, or auto on one")
    keys = "KEY VALUE pairs at the end that change the configuration, such as SOLVER.MAX_ITER 1000"
    add("opts", default=None, nargs=argparse.REMAINDER, help=keys)
    return parser


def default_setup(cfg: CfgNode, args: argparse.Namespace) -> None:
    """Begin a run: loggers, a report of the environment, ``log.txt`` and ``config.yaml`` in OUTPUT_DIR, seeds.

    Args:
        cfg: the whole configuration.
        args: the command line, which is logged; ``config_file`` and ``eval_only`` are looked at.
    """
    rank = comm.get_rank()
    if comm.is_main_process() and cfg.OUTPUT_DIR:
        PathManager.mkdirs(cfg.OUTPUT_DIR)
    output_dir = cfg.OUTPUT_DIR or None
    setup_logger(output_dir, distributed_rank=rank, name="fvcore")
    logger = setup_logger(output_dir, distributed_rank=rank)

    logger.info(f"Rank of current process: {rank}. World size: {comm.get_world_size()}")
    logger.info("Environment info:\n" + collect_env_info())
    logger.info(f"Command line arguments: {args}")
    if getattr(args, "config_file", ""):
        with PathManager.open(args.config_file, "r") as file:
            logger.info(f"Contents of args.config_file={args.config_file}:\n{file.read()}")
    if comm.is_main_process() and output_dir:
        logger.info("Running with full config:\n" + cfg.dump())
        path = os.path.join(output_dir, "config.yaml")
        with PathManager.open(path + ".tmp", "w") as file:
            file.write(cfg.dump())
        os.replace(path + ".tmp", path)  # a run that is killed leaves the old file or the new one
        logger.info(f"Full config saved to {path}")

    seed_all_rng(None if cfg.SEED < 0 else cfg.SEED + rank)
    if not getattr(args, "eval_only", False):  # test images differ in size
        torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK
    if cfg.FLOAT32_PRECISION:
        torch.set_float32_matmul_precision(cfg.FLOAT32_PRECISION)


def create_ddp_model(model: torch.nn.Module, **kwargs: Any) -> torch.nn.Module | DistributedDataParallel:
    """The model itself where the process is alone, else in a ``DistributedDataParallel`` with ``kwargs``."""
    if comm.get_world_size() == 1:
        return model
    if next(model.parameters()).is_cuda:
        kwargs.setdefault("device_ids", [comm.get_local_rank()])
    return DistributedDataParallel(model, **kwargs)


def _of_step_trainer(name: str) -> property:
    """An attribute of the trainer that runs the steps, to read and to set."""
    return property(lambda self: getattr(self._trainer, name), lambda self, value: setattr(self._trainer, name, value))


class DefaultTrainer(TrainerBase):
    """The usual training from a configuration: what is not usual is overridden in a subclass.

    Of data and optimisers nothing is usual here: a subclass defines ``build_optimizer`` and ``build_train_loader``
    and, to evaluate, ``build_test_loader`` and ``build_evaluator``.

    Attributes:
        scheduler: of the learning rate.
        checkpointer: of the model, and of this trainer (iteration, optimiser, schedule) for resuming.
    """

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        if not logging.getLogger("detectron2").isEnabledFor(logging.INFO):  # a script that has set up no logger
            setup_logger(distributed_rank=comm.get_rank())
        if cfg.SOLVER.AMP.ENABLED:
            raise ValueError("SOLVER.AMP.ENABLED needs a trainer with a step of its own, as errseg.engine.Trainer has.")
        if cfg.SOLVER.REFERENCE_WORLD_SIZE or cfg.TEST.PRECISE_BN.ENABLED:
            raise ValueError("SOLVER.REFERENCE_WORLD_SIZE and TEST.PRECISE_BN.ENABLED need Detectron2: install it.")
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        data_loader = self.build_train_loader(cfg)
        model = create_ddp_model(model, broadcast_buffers=False)
        self._trainer = SimpleTrainer(model, data_loader, optimizer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = DetectionCheckpointer(model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.cfg = cfg
        self.register_hooks(self.build_hooks())

    model = _of_step_trainer("model")
    optimizer = _of_step_trainer("optimizer")
    data_loader = _of_step_trainer("data_loader")

    def resume_or_load(self, resume: bool = True) -> None:
        """Go on after ``OUTPUT_DIR``'s last checkpoint if asked for and there is one, else load ``MODEL.WEIGHTS``."""
        self.checkpointer.resume_or_load(self.cfg.MODEL.WEIGHTS, resume=resume)
        if resume and self.checkpointer.has_checkpoint():
            self.start_iter = self.iter + 1

    def build_hooks(self) -> list[HookBase | None]:
        """Timing, schedule, checkpoints, evaluation and writing, in this order."""
        cfg = self.cfg

        def evaluate() -> Mapping[str, Any]:
            self._last_eval_results = self.test(self.cfg, self.model)
            return self._last_eval_results

        main = comm.is_main_process()
        return [
            hooks.IterationTimer(),
            hooks.LRScheduler(),
            # A checkpoint before each evaluation, which may fail.
            hooks.PeriodicCheckpointer(self.checkpointer, cfg.SOLVER.CHECKPOINT_PERIOD) if main else None,
            hooks.EvalHook(cfg.TEST.EVAL_PERIOD, evaluate),
            # Last, for the scalars of the others.
            hooks.PeriodicWriter(self.build_writers(), period=20) if main else None,
        ]

    def build_writers(self) -> list[EventWriter]:
        """The writers of scalars, on the main process: to the console, metrics.json and TensorBoard."""
        folder = self.cfg.OUTPUT_DIR
        PathManager.mkdirs(folder)
        metrics = os.path.join(folder, "metrics.json")
        return [CommonMetricPrinter(self.max_iter), JSONWriter(metrics), TensorboardXWriter(folder)]

    def train(self) -> Mapping[str, Any] | None:
        """Train to ``SOLVER.MAX_ITER``; return the last evaluation's results if ``TEST.EXPECTED_RESULTS`` are set."""
        super().train(self.start_iter, self.max_iter)
        if len(self.cfg.TEST.EXPECTED_RESULTS) and comm.is_main_process():
            verify_results(self.cfg, self._last_eval_results)
            return self._last_eval_results
        return None

    def run_step(self) -> None:
        self._trainer.iter = self.iter
        self._trainer.run_step()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_trainer": self._trainer.state_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._trainer.load_state_dict(state_dict["_trainer"])

    @classmethod
    def build_model(cls, cfg: CfgNode) -> torch.nn.Module:
        """The model, without weights from a file."""
        model = build_model(cfg)
        logging.getLogger(__name__).info(f"Model:\n{model}")
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: torch.nn.Module) -> torch.optim.Optimizer:
        raise NotImplementedError(f"{cls.__name__} must define build_optimizer.")

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        return build_lr_scheduler(cfg, optimizer)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Iterable:
        raise NotImplementedError(f"{cls.__name__} must define build_train_loader.")

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable:
        raise NotImplementedError(f"{cls.__name__} must define build_test_loader.")

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator | list[DatasetEvaluator]:
        raise NotImplementedError(f"{cls.__name__} must define build_evaluator.")

    @classmethod
    def test(
        cls,
        cfg: CfgNode,
        model: torch.nn.Module,
        evaluators: DatasetEvaluator | Sequence[DatasetEvaluator] | None = None,
    ) -> Mapping[str, Any]:
        """Evaluate ``model`` on each of ``DATASETS.TEST``.

        Args:
            cfg: the configuration.
            model: what is evaluated.
            evaluators: one for each data set; None: those of ``build_evaluator``.

        Returns:
            Results by data set, or of the only one; empty on all processes but the main one.
        """
        names, results = cfg.DATASETS.TEST, {}
        if isinstance(evaluators, DatasetEvaluator):
            evaluators = [evaluators]
        if evaluators is not None and len(evaluators) != len(names):
            raise AssertionError(f"{len(evaluators)} evaluators for {len(names)} data sets: give one for each.")
        for index, name in enumerate(names):
            data_loader = cls.build_test_loader(cfg, name)
            try:
                evaluator = cls.build_evaluator(cfg, name) if evaluators is None else evaluators[index]
            except NotImplementedError:
                logging.getLogger(__name__).warning(f"{cls.__name__} has no build_evaluator: {name} is left out.")
                results[name] = {}
                continue
            results[name] = inference_on_dataset(model, data_loader, evaluator)
        return next(iter(results.values())) if len(results) == 1 else results
