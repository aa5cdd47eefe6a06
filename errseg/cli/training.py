"""Start training and evaluation: the shared part of ``errseg train``, ``errseg evaluate`` and tools/train_net.py."""

import argparse
import multiprocessing
import re
import sys

import torch
from detectron2.config import CfgNode
from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from torch.multiprocessing import ProcessExitedException

from errseg.checkpoint import last_checkpoint
from errseg.config import config_path
from errseg.data import register_dataset_files
from errseg.engine import Trainer, check_request, start_processes
from errseg.engine.launch import RankKilled, is_first_here
from errseg.engine.quiet import survive_log_failures
from errseg.engine.resume import hold
from errseg.errors import UsageError
from errseg.evaluation import evaluate
from errseg.evaluation.shards import evaluate_shard
from errseg.failures import explained
from errseg.modeling import build

__all__ = ["DEFAULTS", "start"]

# Options of tools/train_net.py in messages, and their names in errseg train and errseg evaluate
SPELLINGS = (
    (r"\badd --eval-only", "use errseg evaluate"),
    (r"--eval-only", "errseg evaluate"),
    (r"--num-gpus", "--gpus"),
    (r"--config-file", "--config"),
)
DEFAULTS = {  # default values of the options of a request
    "num_gpus": 0,  # one process, on a GPU if there is one
    "num_machines": 1,
    "machine_rank": 0,
    "dist_url": "auto",  # any free port
    "resume": False,
    "eval_only": False,
    "dataset": None,
    "save_predictions": None,
    "available": False,
    "shard": None,  # of an evaluation
}


def start(args: argparse.Namespace) -> int:
    """Check a request, then run it in one process for each GPU.

    Args:
        args: ``config_file``, ``opts`` (KEY VALUE pairs), ``program`` (a name for messages), and the keys of DEFAULTS.

    Returns:
        The exit status.
    """
    try:
        if args.config_file:
            args.config_file = config_path(args.config_file)
        cfg = check_request(args)
        place = (max(args.num_gpus, 1), args.num_machines, args.machine_rank, args.dist_url)
        start_processes(run, *place, on_gpu=cfg.MODEL.DEVICE.startswith("cuda"), args=(cfg, args))
    except RankKilled as error:
        refuse(error, args.program)
        return error.status
    except UsageError as error:
        return refuse(error, args.program) if is_first_here() else 2
    except KeyboardInterrupt:
        print(f"{args.program}: interrupted; --resume continues from the last checkpoint.", file=sys.stderr)
        return 130
    except ProcessExitedException as error:  # the failed process has printed the reason
        return error.exit_code
    return 0


def refuse(error: UsageError, program: str) -> int:
    """Print the sentence of an error, without the traceback of a data worker, and return the exit status."""
    sentence = str(error).rpartition("UsageError: ")[2].strip()
    if not program.endswith(".py"):
        for old, new in SPELLINGS:
            sentence = re.sub(old, new, sentence)
    print(f"{program}: {sentence}", file=sys.stderr)
    return 2


def run(cfg: CfgNode, args: argparse.Namespace) -> None:
    """The work of one process; it ends with status 2 after a mistake that the user can correct."""
    try:
        with explained(cfg.OUTPUT_DIR), hold(cfg.OUTPUT_DIR):
            work(cfg, args)
    except UsageError as error:
        sys.exit(refuse(error, args.program))


def work(cfg: CfgNode, args: argparse.Namespace) -> None:
    """Train or evaluate."""
    if sys.platform == "linux":
        # Without fork, data workers would start as new interpreters, import everything and copy the lists of files.
        multiprocessing.set_start_method("fork", force=True)
    default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="errseg")
    survive_log_failures(cfg.OUTPUT_DIR)
    register_dataset_files(cfg.DATASETS.TEST if args.eval_only else (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST))
    if args.eval_only:
        evaluate_only(cfg, args)
    else:
        trainer = Trainer(cfg)
        trainer.resume_or_load(args.resume)
        trainer.train()
    comm.synchronize()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # a process that exits with an open group may abort


def evaluate_only(cfg: CfgNode, args: argparse.Namespace) -> None:
    """Evaluate the last checkpoint if --resume is given and there is one; otherwise evaluate MODEL.WEIGHTS."""
    weights = (last_checkpoint(cfg.OUTPUT_DIR) if args.resume else "") or cfg.MODEL.WEIGHTS
    if getattr(args, "shard", None):
        evaluate_shard(cfg, build(cfg, weights), cfg.DATASETS.TEST, weights, args.shard, args.save_predictions)
        return
    evaluate(cfg, build(cfg, weights), cfg.DATASETS.TEST, weights=weights, save_predictions=args.save_predictions)
