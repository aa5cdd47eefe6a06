"""The set-up of a run and the usual trainer."""

import argparse
import logging
import os
import sys
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from ..checkpoint import DetectionCheckpointer
from ..config import CfgNode
from ..data import build_detection_test_loader, build_detection_train_loader
from ..evaluation import DatasetEvaluator, inference_on_dataset, print_csv_format, verify_results
from ..modeling import build_model
from ..solver import build_lr_scheduler, build_optimizer
from ..utils import comm
from ..utils.collect_env import collect_env_info
from ..utils.env import seed_all_rng
from ..utils.events import CommonMetricPrinter, EventWriter, JSONWriter, TensorboardXWriter
from ..utils.file_io import PathManager
from ..utils.logger import setup_logger
from . import hooks
from .train_loop import AMPTrainer, HookBase, SimpleTrainer, TrainerBase

__all__ = ["DefaultTrainer", "create_ddp_model", "default_argument_parser", "default_setup", "default_writers"]


def default_argument_parser(epilog: str | None = None) -> argparse.ArgumentParser:
    """The options of a training tool; ``--help`` ends with ``epilog``, or else with examples."""
    program = sys.argv[0]
    examples = f"""
Examples:

On one machine:
    $ {program} --num-gpus 8 --config-file cfg.yaml
Change some keys:
    $ {program} --config-file cfg.yaml MODEL.WEIGHTS /path/to/weights.pth SOLVER.BASE_LR 0.001
On two machines:
    (machine 0) $ {program} --machine-rank 0 --num-machines 2 --dist-url <URL> [options]
    (machine 1) $ {program} --machine-rank 1 --num-machines 2 --dist-url <URL> [options]
"""
    parser = argparse.ArgumentParser(
        epilog=examples if epilog is None else epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--config-file", default="", metavar="FILE", help="path of a YAML configuration")
    add("--resume", action="store_true", help="go on from the last checkpoint in OUTPUT_DIR, if there is one")
    add("--eval-only", action="store_true", help="evaluate, do not train")
    add("--num-gpus", type=int, default=1, help="processes *per machine*, each with a GPU where there is CUDA")
    add("--num-machines", type=int, default=1, help="number of machines")
    add("--machine-rank", type=int, default=0, help="number of this machine, from 0")
    # Users of one machine meet at different ports.
    port = 2**15 + 2**14 + hash(os.getuid() if hasattr(os, "getuid") else 1) % 2**14
    meeting = "where processes meet: tcp://<host of machine 0>:<port>, or auto on one machine"
    add("--dist-url", default=f"tcp://127.0.0.1:{port}", help=meeting)
    keys = "KEY VALUE pairs at the end that change the configuration, such as SOLVER.MAX_ITER 1000"
    add("opts", default=None, nargs=argparse.REMAINDER, help=keys)
    return parser


def default_setup(cfg: CfgNode, args: argparse.Namespace) -> None:
    """Begin a run: output folder, loggers, a report of the environment and the configuration, seeds.

    Writes ``log.txt`` and ``config.yaml`` into ``cfg.OUTPUT_DIR``.

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


def default_writers(output_dir: str, max_iter: int | None = None) -> list[EventWriter]:
    """The console line (with the time to go to ``max_iter``), and in ``output_dir`` metrics.json and TensorBoard."""
    PathManager.mkdirs(output_dir)
    metrics = os.path.join(output_dir, "metrics.json")
    return [CommonMetricPrinter(max_iter), JSONWriter(metrics), TensorboardXWriter(output_dir)]


def create_ddp_model(
    model: torch.nn.Module, *, fp16_compression: bool = False, **kwargs: Any
) -> torch.nn.Module | DistributedDataParallel:
    """The model itself where the process is alone, else wrapped for training in several.

    Args:
        model: on the device of this process.
        fp16_compression: gradients travel in half precision.
        kwargs: to ``DistributedDataParallel``; ``device_ids`` is this process's GPU, if the model is on one.
    """
    if comm.get_world_size() == 1:
        return model
    if next(model.parameters()).is_cuda:
        kwargs.setdefault("device_ids", [comm.get_local_rank()])
    wrapped = DistributedDataParallel(model, **kwargs)
    if fp16_compression:
        from torch.distributed.algorithms.ddp_comm_hooks import default as comm_hooks

        wrapped.register_comm_hook(state=None, hook=comm_hooks.fp16_compress_hook)
    return wrapped


class DefaultTrainer(TrainerBase):
    """The usual training from a configuration: what is not usual is overridden in a subclass.

    Args:
        cfg: frozen or not; a copy is kept.

    Attributes:
        scheduler: of the learning rate.
        checkpointer: of the model, and of this trainer (iteration, optimiser, schedule) for resuming.
    """

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        if not logging.getLogger("detectron2").isEnabledFor(logging.INFO):  # default_setup was not called
            setup_logger()
        if cfg.SOLVER.REFERENCE_WORLD_SIZE not in (0, comm.get_world_size()):
            raise ValueError("SOLVER.REFERENCE_WORLD_SIZE: scaling to the number of processes is not here: set it to 0")
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        data_loader = self.build_train_loader(cfg)
        model = create_ddp_model(model, broadcast_buffers=False)
        trainer = AMPTrainer if cfg.SOLVER.AMP.ENABLED else SimpleTrainer
        self._trainer = trainer(model, data_loader, optimizer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = DetectionCheckpointer(model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.cfg = cfg
        self.register_hooks(self.build_hooks())

    @property
    def model(self) -> torch.nn.Module:
        return self._trainer.model

    @property
    def data_loader(self) -> Iterable:
        return self._trainer.data_loader

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        return self._trainer.optimizer

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
        """The writers of scalars, on the main process."""
        return default_writers(self.cfg.OUTPUT_DIR, self.max_iter)

    def train(self) -> Mapping[str, Any] | None:
        """Train to ``SOLVER.MAX_ITER``; return the last evaluation's results if ``TEST.EXPECTED_RESULTS`` are set."""
        super().train(self.start_iter, self.max_iter)
        if len(self.cfg.TEST.EXPECTED_RESULTS) and comm.is_main_process():
            if not hasattr(self, "_last_eval_results"):
                raise AssertionError("TEST.EXPECTED_RESULTS is set and no evaluation has run: set DATASETS.TEST.")
            verify_results(self.cfg, self._last_eval_results)
            return self._last_eval_results
        return None

    def run_step(self) -> None:
        self._trainer.iter = self.iter
        self._trainer.run_step()

    def before_train(self) -> None:
        self._trainer.storage = self.storage
        super().before_train()

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
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(
        cls, cfg: CfgNode, optimizer: torch.optim.Optimizer
    ) -> torch.optim.lr_scheduler.LRScheduler:
        return build_lr_scheduler(cfg, optimizer)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Iterable:
        return build_detection_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable:
        return build_detection_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator | list[DatasetEvaluator]:
        """The evaluator of a data set. There is no usual one: a subclass defines it."""
        raise NotImplementedError(f"{cls.__name__} must define build_evaluator, or evaluators be given to test().")

    @classmethod
    def test(
        cls,
        cfg: CfgNode,
        model: torch.nn.Module,
        evaluators: DatasetEvaluator | list[DatasetEvaluator] | None = None,
    ) -> OrderedDict:
        """Evaluate ``model`` on each of ``DATASETS.TEST``, with ``evaluators`` or those of ``build_evaluator``.

        Returns:
            Results by data set, or of the only one; empty on all processes but the main one.
        """
        logger = logging.getLogger(__name__)
        evaluators = [evaluators] if isinstance(evaluators, DatasetEvaluator) else evaluators
        if evaluators is not None and len(evaluators) != len(cfg.DATASETS.TEST):
            raise AssertionError(f"DATASETS.TEST has {len(cfg.DATASETS.TEST)} sets for {len(evaluators)} evaluators.")
        results = OrderedDict()
        for index, name in enumerate(cfg.DATASETS.TEST):
            data_loader = cls.build_test_loader(cfg, name)
            try:
                evaluator = cls.build_evaluator(cfg, name) if evaluators is None else evaluators[index]
            except NotImplementedError as error:
                logger.warning(f"{name} is not evaluated: {error}")
                results[name] = {}
                continue
            results[name] = inference_on_dataset(model, data_loader, evaluator)
            if comm.is_main_process():
                logger.info(f"Evaluation results for {name} in csv format:")
                print_csv_format(results[name])
        return next(iter(results.values())) if len(results) == 1 else results
