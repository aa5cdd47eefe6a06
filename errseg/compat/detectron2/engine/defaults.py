"""The set-up of a run, and the part of the trainer that errseg's own inherits."""

import argparse
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from ..config import CfgNode
from ..evaluation import verify_results
from ..outside import Absent, outside
from ..solver import build_lr_scheduler
from ..utils import comm
from ..utils.collect_env import collect_env_info
from ..utils.env import seed_all_rng
from ..utils.file_io import PathManager
from ..utils.logger import setup_logger
from .train_loop import TrainerBase

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
    return DistributedDataParallel(model, **kwargs)


def _of_step_trainer(name: str) -> property:
    """An attribute of the trainer that runs the steps, to read and to set."""
    return property(lambda self: getattr(self._trainer, name), lambda self, value: setattr(self._trainer, name, value))


class DefaultTrainer(TrainerBase):
    """What :class:`errseg.engine.Trainer` inherits of Detectron2's trainer; it has the rest (``_OVERRIDDEN``) itself.

    Attributes:
        cfg: the configuration.
        checkpointer: of the model, and of this trainer (iteration, optimizer, schedule) for resuming.
        _trainer: runs the steps; it has ``model``, ``optimizer`` and ``data_loader``.
        _last_eval_results: the scores of the last evaluation.
    """

    model = _of_step_trainer("model")
    optimizer = _of_step_trainer("optimizer")
    data_loader = _of_step_trainer("data_loader")

    def resume_or_load(self, resume: bool = True) -> None:
        """Go on after ``OUTPUT_DIR``'s last checkpoint if asked for and there is one, else load ``MODEL.WEIGHTS``."""
        self.checkpointer.resume_or_load(self.cfg.MODEL.WEIGHTS, resume=resume)
        if resume and self.checkpointer.has_checkpoint():
            self.start_iter = self.iter + 1

    def train(self) -> Mapping[str, Any] | None:
        """Train to ``max_iter``; return the last evaluation's results if ``TEST.EXPECTED_RESULTS`` are set."""
        super().train(self.start_iter, self.max_iter)
        if len(self.cfg.TEST.EXPECTED_RESULTS) and comm.is_main_process():
            verify_results(self.cfg, self._last_eval_results)
            return self._last_eval_results
        return None

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_trainer": self._trainer.state_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._trainer.load_state_dict(state_dict["_trainer"])

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        return build_lr_scheduler(cfg, optimizer)


_OVERRIDDEN = (
    *("__init__", "build_hooks", "build_writers", "build_model", "build_optimizer"),
    *("build_train_loader", "build_test_loader", "build_evaluator", "test", "run_step"),
)
for _name in _OVERRIDDEN:
    setattr(DefaultTrainer, _name, Absent(f"{__package__}.DefaultTrainer.{_name}"))
