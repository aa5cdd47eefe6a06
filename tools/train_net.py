"""Train ERR-Seg, or evaluate it.

Train:     python tools/train_net.py --config-file configs/errseg_convnext_base.yaml --num-gpus 4
Resume:    the same, with --resume
Evaluate:  python tools/train_net.py --config-file … --eval-only MODEL.WEIGHTS output/model_final.pth
Your data: python tools/train_net.py --config-file … --dataset my.yaml

Processes are those of --num-gpus, or torchrun's: torchrun --nproc-per-node 4 tools/train_net.py --config-file …
"""

import argparse
import multiprocessing
import sys

import torch
from torch.multiprocessing import ProcessExitedException

import errseg  # makes detectron2 importable

# isort: split
from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser, default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from errseg.checkpoint import ERRSegCheckpointer
from errseg.data import register_dataset_files
from errseg.engine import Trainer, check_request, start_processes
from errseg.engine.launch import RankKilled, is_first_here
from errseg.engine.quiet import survive_log_failures
from errseg.engine.resume import hold
from errseg.errors import UsageError
from errseg.evaluation import evaluate
from errseg.failures import explained


def main() -> int:
    """Check the request, then run it in one process for each GPU."""
    args = parse()
    try:
        cfg = check_request(args)
        place = (max(args.num_gpus, 1), args.num_machines, args.machine_rank, args.dist_url)
        start_processes(run, *place, on_gpu=cfg.MODEL.DEVICE.startswith("cuda"), args=(cfg, args))
    except RankKilled as error:
        refuse(error)
        return error.status
    except UsageError as error:
        return refuse(error) if is_first_here() else 2
    except KeyboardInterrupt:
        print("train_net.py: interrupted; --resume goes on from the last checkpoint.", file=sys.stderr)
        return 130
    except ProcessExitedException as error:  # one of several processes has said why
        return error.exit_code
    return 0


def parse() -> argparse.Namespace:
    """The command line: Detectron2's options, and ours."""
    parser = default_argument_parser(epilog=__doc__)
    parser.set_defaults(dist_url="auto", num_gpus=0)  # any free port; one process, on a GPU if there is one
    parser.add_argument(
        "--dataset", metavar="FILE.yaml", help="train and evaluate, or with --eval-only evaluate, on the data set of it"
    )
    parser.add_argument(
        "--save-predictions",
        metavar="DIR",
        help="with --eval-only: write a label file for each image; those that are there are scored, not made again",
    )
    parser.add_argument(
        "--available", action="store_true", help="evaluate those data sets of DATASETS.TEST that are there"
    )
    return parser.parse_args()


def refuse(error: UsageError) -> int:
    """Print an error's sentence, without the traceback that a data worker puts before it; returns the exit status."""
    print(f"train_net.py: {str(error).rpartition('UsageError: ')[2].strip()}", file=sys.stderr)
    return 2


def run(cfg: CfgNode, args: argparse.Namespace) -> None:
    """The work of one process, which ends it with status 2 where the user can help."""
    try:
        with explained(cfg.OUTPUT_DIR), hold(cfg.OUTPUT_DIR):
            work(cfg, args)
    except UsageError as error:
        sys.exit(refuse(error))


def work(cfg: CfgNode, args: argparse.Namespace) -> None:
    """Train or evaluate."""
    if sys.platform == "linux":
        # Data workers of the launcher's processes would start afresh, import everything and copy the lists of files.
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
        torch.distributed.destroy_process_group()  # a process that ends with its group open may abort


def evaluate_only(cfg: CfgNode, args: argparse.Namespace) -> None:
    """Evaluate the weights of the last checkpoint, if --resume asks for it and there is one, or MODEL.WEIGHTS."""
    # A checkpoint brings CLIP's weights too.
    model = errseg.build_model(without_pretraining(cfg) if cfg.MODEL.WEIGHTS else cfg)
    checkpointer = ERRSegCheckpointer(model, cfg.OUTPUT_DIR)
    resumed = args.resume and checkpointer.has_checkpoint()
    weights = checkpointer.get_checkpoint_file() if resumed else cfg.MODEL.WEIGHTS
    checkpointer.load(weights, checkpointables=[])
    evaluate(cfg, model, cfg.DATASETS.TEST, weights=weights, save_predictions=args.save_predictions)


def without_pretraining(cfg: CfgNode) -> CfgNode:
    """A copy that loads no CLIP weights."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.CLIP.PRETRAINED = ""
    cfg.freeze()
    return cfg


if __name__ == "__main__":
    sys.exit(main())
