"""Train ERR-Seg, or evaluate it.

Train:     python tools/train_net.py --config-file configs/errseg_convnext_base.yaml --num-gpus 4
Resume:    the same, with --resume
Evaluate:  python tools/train_net.py --config-file … --eval-only MODEL.WEIGHTS output/model_final.pth
"""

import argparse
import multiprocessing
import sys
from pathlib import Path

import torch
from torch.multiprocessing import ProcessExitedException

import errseg  # makes detectron2 importable

# isort: split
from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser, default_setup, launch
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from errseg.checkpoint import ERRSegCheckpointer
from errseg.data import images_per_step, require_dataset
from errseg.engine import Trainer, check_devices, load_config
from errseg.errors import UsageError
from errseg.evaluation import evaluate


def main() -> int:
    """Check the request, then run it in one process for each GPU."""
    parser = default_argument_parser(epilog=__doc__)
    parser.set_defaults(dist_url="auto", num_gpus=0)  # any free port; one process, on a GPU if there is one
    args = parser.parse_args()
    try:
        cfg = check(args)
        launch(run, max(args.num_gpus, 1), args.num_machines, args.machine_rank, args.dist_url, args=(cfg, args))
    except UsageError as error:
        return refuse(error)
    except ProcessExitedException as error:  # one of several processes has said why
        return error.exit_code
    return 0


def refuse(error: UsageError) -> int:
    """Print an error's sentence, without the traceback that a data worker puts before it; returns the exit status."""
    print(f"train_net.py: {str(error).rpartition('UsageError: ')[2].strip()}", file=sys.stderr)
    return 2


def check(args: argparse.Namespace) -> CfgNode:
    """The configuration of the request, once all that can be checked at no cost has been.

    Raises:
        UsageError: something asked for is not there.
    """
    if not args.config_file:
        raise UsageError("No config file is given; add --config-file, with one of configs/.")
    if args.num_machines > 1 and args.dist_url == "auto":
        raise UsageError("Several machines need a common address; add --dist-url tcp://HOST:PORT of the first.")
    cfg = load_config(args.config_file, args.opts)
    if args.num_gpus > 0 and "MODEL.DEVICE" not in args.opts and not sets_device(args.config_file):
        cfg.MODEL.DEVICE = "cuda"  # what the option asks for
    processes = max(args.num_gpus, 1)
    check_devices(cfg, processes)
    if cfg.MODEL.WEIGHTS and not args.resume and not Path(cfg.MODEL.WEIGHTS).is_file():
        raise UsageError(f"MODEL.WEIGHTS {cfg.MODEL.WEIGHTS} does not exist; give the path of a checkpoint.")
    if not args.eval_only:
        if not cfg.DATASETS.TRAIN:
            raise UsageError("DATASETS.TRAIN is empty; name a registered data set, or add --eval-only.")
        images_per_step(cfg, processes * args.num_machines)
        for name in cfg.DATASETS.TRAIN:
            require_dataset(name, "DATASETS.TRAIN")
    for name in cfg.DATASETS.TEST:
        require_dataset(name, "DATASETS.TEST")
    cfg.freeze()
    return cfg


def sets_device(config_file: str) -> bool:
    """Whether a config file, or a base of it, sets MODEL.DEVICE."""
    return "DEVICE" in CfgNode.load_yaml_with_base(config_file).get("MODEL", {})


def run(cfg: CfgNode, args: argparse.Namespace) -> None:
    """The work of one process, which ends it with status 2 where the user can help."""
    try:
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
    if args.eval_only:
        if cfg.MODEL.WEIGHTS:
            cfg = without_pretraining(cfg)  # the checkpoint brings CLIP's weights too
        model = errseg.build_model(cfg)
        ERRSegCheckpointer(model, cfg.OUTPUT_DIR).resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        evaluate(cfg, model, cfg.DATASETS.TEST)
    else:
        trainer = Trainer(cfg)
        trainer.resume_or_load(args.resume)
        trainer.train()
    comm.synchronize()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # a process that ends with its group open may abort


def without_pretraining(cfg: CfgNode) -> CfgNode:
    """A copy that loads no CLIP weights."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.CLIP.PRETRAINED = ""
    cfg.freeze()
    return cfg


if __name__ == "__main__":
    sys.exit(main())
