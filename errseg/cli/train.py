"""Train a model.

  errseg train --config errseg_convnext_base --gpus 4

The results go to OUTPUT_DIR. After an interruption, the same command with
--resume continues from the last checkpoint. Several machines, torchrun and
SLURM: see scripts/train.sh of the checkout.
"""

import argparse

from .options import add_config, add_device, add_out, weights_file
from .parser import Parser

BEST = (
    "keep the weights of the best mIoU of this data set (default: the first of DATASETS.TEST); SOLVER.PATIENCE N ends "
    "a run that does not get better"
)


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add_config(parser, required=True)
    add("--dataset", metavar="FILE", help="train and evaluate on the data set of this file (*.yaml)")
    add("--gpus", type=int, default=0, metavar="N", help="processes, one on each GPU (default: one process)")
    parser.alias("--num-gpus", "gpus", type=int)
    add("--resume", action="store_true", help="continue from the last checkpoint of OUTPUT_DIR")
    add(
        "--weights",
        metavar="FILE",
        help="the weights at the start (MODEL.WEIGHTS): a file, a run, or OWNER/NAME on the hub",
    )
    add("--best", nargs="?", const="first", metavar="SET", help=BEST)
    add_device(parser)
    add_out(parser, None, "the folder of the results (OUTPUT_DIR)", metavar="DIR")


def run(args: argparse.Namespace) -> int:
    """Train in one process for each GPU."""
    from .training import DEFAULTS, start

    if args.weights:
        args.weights = weights_file(args.weights)
    own = {"num_gpus": args.gpus, "resume": args.resume, "dataset": args.dataset}
    keys = keys_of(args) + args.opts
    return start(argparse.Namespace(**{**DEFAULTS, **own}, config_file=args.config, opts=keys, program=args.program))


def keys_of(args: argparse.Namespace) -> list[str]:
    """KEY VALUE pairs of ``--weights``, ``--device``, ``--precision``, ``--out`` and ``--best``."""
    given = {
        "MODEL.WEIGHTS": args.weights,
        "MODEL.DEVICE": None if args.device == "auto" else args.device,
        "MODEL.PRECISION": getattr(args, "precision", None),
        "OUTPUT_DIR": args.out,
        "SOLVER.BEST": getattr(args, "best", None),
    }
    return [word for key, value in given.items() if value is not None for word in (key, str(value))]
