"""Measure the model next to its plain form: time, multiply-adds, memory, agreement, and where the time goes.

    python tools/benchmark.py --config-file configs/errseg_convnext_base.yaml --vocabulary ade20k_847,ade20k_150 \
        --precision fp32,bf16 --form both --json output/benchmark.json --chart output/benchmark.png

Random weights do, and then the names' embeddings are random too. --vocabulary takes the names of
errseg/data/vocabularies, registered data sets, data-set files and random:N, N made-up names.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import errseg  # noqa: F401  makes detectron2 importable

# isort: split
import torch
from detectron2.config import CfgNode

from errseg.benchmark import paper
from errseg.benchmark.cases import make_cases
from errseg.benchmark.chart import draw
from errseg.benchmark.measure import measure
from errseg.benchmark.names import name_list
from errseg.benchmark.rows import Row, make_rows
from errseg.benchmark.tables import report
from errseg.engine import load_config
from errseg.errors import UsageError
from errseg.evaluation.report import write_json

REPEATS = {"cpu": 5, "cuda": 30}


def main() -> int:
    args = parse()
    logging.basicConfig(format="%(message)s", level=logging.ERROR)  # to stderr: the tables are alone on stdout
    logging.getLogger("errseg.benchmark").setLevel(logging.WARNING if args.quiet else logging.INFO)
    try:
        run(args)
    except UsageError as error:
        print(f"benchmark.py: {error}", file=sys.stderr)
        return 2
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--config-file", required=True, metavar="FILE")
    add("--vocabulary", type=_words, metavar="NAME,…", help="default: A-847's and A-150's, with --train COCO-Stuff's")
    add("--num-classes", type=int, metavar="K", help="default: that of the vocabulary's data set")
    add("--device", default="cpu", help="cpu or cuda")
    add("--precision", type=_words, default=["fp32"], metavar="P,…", help="of fp32, bf16, fp16; plain has fp32 alone")
    add("--form", default="both", help="fast, plain or both")
    add("--batch", type=_numbers, default=[1], metavar="N,…", help="images at a time")
    add("--repeats", type=int, help="runs of each case (default: 5 on the CPU, 30 on a GPU)")
    add("--threads", type=int, help="of the CPU (default: torch's)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--train", action="store_true", help="a training step; below fp32 with autocast")
    what.add_argument("--set-vocabulary", action="store_true", help="encoding the names")
    what.add_argument("--paper-table", type=int, choices=(3, 10), help="the paper's table, with our figures")
    add("--compile", nargs="?", const="", metavar="MODE", help="the fast form compiled too (default: fits the device)")
    add("--weights", default="", metavar="FILE", help="a checkpoint; the names are then really encoded")
    add("--image", nargs="+", default=[], metavar="FILE", help="agreement is that of all, time that of the first batch")
    add("--no-memory", action="store_true", help="leave out peak memory, which takes a process a case")
    add("--floor", action="store_true", help="the least time that the work allows (always on a GPU)")
    add("--chart", type=Path, metavar="PNG", help="the time of each part as bars")
    add("--json", type=Path, metavar="OUT", help="the rows")
    add("--quiet", action="store_true", help="no word on progress")
    add("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="configuration keys")
    return parser.parse_args()


def _words(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise argparse.ArgumentTypeError("nothing is given")
    return words


def _numbers(text: str) -> list[int]:
    return [int(word) for word in _words(text)]


def run(args: argparse.Namespace) -> None:
    """Measure, print, write."""
    cfg = configure(args)
    if args.paper_table == 10:
        rows_of = [(each, measured(args, each.apply(cfg), paper.TABLE10_VOCABULARIES)) for each in paper.TABLE10]
        rows = [row | {"ssr": each.ssr, "csr": each.csr} for each, some in rows_of for row in some]
        print(paper.table10(rows_of))
    else:
        default = ("coco_stuff_171",) if args.train else paper.TABLE3_VOCABULARIES
        rows = measured(args, cfg, default)
        print(report(rows))
        if args.paper_table:
            print(f"\n{paper.table3(rows)}")
    if args.json:
        write_json(args.json, rows)
    if args.chart:
        draw(rows, args.chart)


def configure(args: argparse.Namespace) -> CfgNode:
    """The configuration, its device and threads set, and what the options cannot mean refused."""
    for option in ("repeats", "threads", "num_classes"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise UsageError(f"--{option.replace('_', '-')} is {value}; give 1 or more.")
    if args.paper_table and args.vocabulary:
        raise UsageError("--paper-table brings its own vocabularies; leave --vocabulary out.")
    if args.device not in ("cpu", "cuda"):
        raise UsageError(f"--device is {args.device!r}; give cpu or cuda.")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda needs a GPU, and torch sees none; give --device cpu.")
    missing = [path for path in (*args.image, args.weights) if path and not Path(path).is_file()]
    if missing:
        raise UsageError(f"There is no file {missing[0]}; --image and --weights take files.")
    if args.threads:
        torch.set_num_threads(args.threads)
    cfg = load_config(args.config_file, args.opts)
    cfg.MODEL.DEVICE = args.device
    return cfg


def measured(args: argparse.Namespace, cfg: CfgNode, vocabularies: Sequence[str]) -> list[Row]:
    """The rows of all cases that the options ask for."""
    kind = "train" if args.train else "set_vocabulary" if args.set_vocabulary else "predict"
    own = cfg.MODEL.CRM.NUM_CLASSES_TRAIN if args.train else cfg.MODEL.CRM.NUM_CLASSES_TEST or None
    num_classes = own if args.num_classes is None else args.num_classes
    names = [name_list(label, num_classes) for label in args.vocabulary or vocabularies]
    on_gpu = args.device == "cuda"
    mode = "" if args.compile is None else args.compile or ("reduce-overhead" if on_gpu else "default")
    cases = make_cases(kind, args.form, args.precision, names, args.batch, mode, args.device)
    repeats = args.repeats or REPEATS[args.device]
    return make_rows(
        measure(cases, cfg, repeats, args.weights, args.image, not args.no_memory, args.floor or on_gpu), cfg
    )


if __name__ == "__main__":
    sys.exit(main())
