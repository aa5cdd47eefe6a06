"""Score weights on data sets.

  errseg evaluate --config errseg_convnext_base --weights errseg_base.pth

Without --dataset, evaluates on the five sets of the paper: A-847, PC-459,
A-150, PC-59 and PAS-20. A missing set is an error, unless --available is given.
The scores go to OUTPUT_DIR/evaluation.json.

  errseg evaluate --weights errseg_base.pth --out out --shard 1/2
  errseg evaluate --merge out/shard_1_of_2 out/shard_2_of_2 --out out
"""

import argparse
from pathlib import Path

from errseg.errors import UsageError

from .options import add_config, add_device, add_out, add_precision, weights_file
from .parser import Parser
from .train import keys_of


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    help = "a YAML file or the name of a packaged configuration (default: config.yaml beside the weights)"
    add_config(parser, help=help)
    add(
        "--weights",
        metavar="FILE",
        help="a checkpoint, the folder of a run or of a saved model, or OWNER/NAME on the hub",
    )
    add("--dataset", nargs="+", metavar="SET", help="registered names or data-set files (*.yaml)")
    add("--background", action="store_true", help="also evaluate on VOC with background (PAS-20b)")
    add("--available", action="store_true", help="evaluate only on the sets that are on disk")
    add(
        "--save-predictions",
        metavar="DIR",
        help="write a label file for each image; existing files are kept and scored",
    )
    add("--shard", metavar="I/N", help="evaluate part I of N, every N-th picture, into OUTPUT_DIR/shard_I_of_N")
    add(
        "--merge",
        nargs="+",
        metavar="DIR",
        help="merge the folders of all shards into --out, with the scores of one run",
    )
    add("--gpus", type=int, default=0, metavar="N", help="processes, one on each GPU (default: one process)")
    parser.alias("--num-gpus", "gpus", type=int)
    add_device(parser)
    add_precision(parser)
    add_out(parser, None, "the folder of the results (OUTPUT_DIR)", metavar="DIR")


def run(args: argparse.Namespace) -> int:
    """Evaluate in one process for each GPU."""
    from errseg.evaluation.shards import shard_of

    from .training import DEFAULTS, start

    if args.merge:
        return _merge(args)
    shard = shard_of(args.shard) if args.shard else None
    args.config, args.weights = _model(args)
    keys = [*keys_of(args), "DATASETS.TEST", str(tuple(_sets(args))), *args.opts]
    own = {
        "eval_only": True,
        "num_gpus": args.gpus,
        "available": args.available,
        "save_predictions": args.save_predictions,
        "shard": shard,
    }
    return start(argparse.Namespace(**{**DEFAULTS, **own}, config_file=args.config, opts=keys, program=args.program))


def _merge(args: argparse.Namespace) -> int:
    """Merge shards."""
    from detectron2.utils.logger import setup_logger

    from errseg.config import load_config
    from errseg.data import register_dataset_files
    from errseg.engine.resume import hold
    from errseg.evaluation.shards import merge_shards, read_shards

    given = ("shard", "weights", "config", "dataset", "background", "available", "save_predictions", "gpus", "opts")
    extra = [name for name in given if getattr(args, name)]
    if extra:
        said = "KEY VALUE pairs" if extra[0] == "opts" else f"--{extra[0].replace('_', '-')}"
        raise UsageError(f"--merge takes the run's own settings from the shards; leave out {said}.")
    if not args.out:
        raise UsageError("--merge has no folder to write to; add --out DIR.")
    names = list(read_shards(args.merge)[0]["sets"])
    cfg = load_config(str(Path(args.merge[0]) / "config.yaml"), ["OUTPUT_DIR", str(args.out)])
    cfg.freeze()
    register_dataset_files(names)
    with hold(cfg.OUTPUT_DIR):
        setup_logger(name="errseg")
        merge_shards(cfg, args.merge)
    return 0


def _model(args: argparse.Namespace) -> tuple[str, str | None]:
    """The configuration, and the weights as a file.

    Raises:
        UsageError: one of them is missing: it is not given, and not in the folder of the run.
    """
    weights, config = args.weights, args.config
    if not weights and "MODEL.WEIGHTS" not in args.opts:
        raise UsageError("no weights are given; add --weights FILE.")
    if weights:
        weights = weights_file(weights)
    beside = Path(weights).with_name("config.yaml") if weights else None
    if not config and beside and beside.is_file():
        config = str(beside)
    if not config:
        raise UsageError("no configuration is given, and there is none beside the weights; add --config CONFIG.")
    return config, weights


def _sets(args: argparse.Namespace) -> list[str]:
    """The data sets to evaluate on: those given, or the paper's."""
    from errseg.data import BENCHMARKS
    from errseg.evaluation.paper import PAPER_ORDER

    registered = {row.paper_name: row.name for row in BENCHMARKS}
    *paper, background = (registered[name] for name in PAPER_ORDER)
    return [*(args.dataset or paper), *([background] if args.background else [])]
