"""Measure the model and its plain form: time, multiply-adds, memory, agreement.

  errseg benchmark --config errseg_convnext_base --vocabulary ade20k_150

Random weights are enough; the embeddings of the names are then random too.
--vocabulary takes packaged vocabularies, data sets (registered names or .yaml
files) and random:N, which is N made-up names.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from errseg.errors import UsageError, short

from .options import PRECISIONS, add_config, listed, number_or_auto
from .parser import Parser

if TYPE_CHECKING:
    from detectron2.config import CfgNode

    from errseg.benchmark.rows import Row

REPEATS = {"cpu": 5, "cuda": 30}
SHORT = dict(zip(PRECISIONS, ("fp32", "bf16", "fp16"), strict=True))


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add_config(parser)
    add(
        "--systems",
        type=_words,
        metavar="NAME,…",
        help="several systems in one table, such as err_seg,deop,sed,cat_seg: own and common protocol",
    )
    add(
        "--vocabulary",
        type=_words,
        metavar="NAME,…",
        help="(default: those of A-847 and A-150; with --train, COCO-Stuff)",
    )
    add(
        "--num-classes",
        type=_kept,
        metavar="K,…",
        help="names kept for each picture, or auto (default: as for the vocabulary's data set)",
    )
    add("--device", default="cpu", metavar="DEVICE", help="cpu or cuda (default: cpu)")
    add(
        "--precision",
        type=_words,
        default=["float32"],
        metavar="P,…",
        help=f"of {', '.join(PRECISIONS)}; the plain form: float32",
    )
    add("--form", metavar="FORM", help="fast, plain or both (default: both; with --systems, fast)")
    add("--batch", type=_numbers, default=[1], metavar="N,…", help="images at a time (default: 1)")
    add("--repeats", type=int, metavar="N", help="runs of each case (default: 5 on the CPU, 30 on a GPU)")
    add("--threads", type=int, metavar="N", help="threads of the CPU (default: torch's)")
    add(
        "--encode-names",
        action="store_true",
        help="also measure the plain form with the names encoded again for every batch, as DeOP's authors do",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--train", action="store_true", help="measure a training step; lower precisions use autocast")
    what.add_argument("--set-vocabulary", action="store_true", help="measure the encoding of the names")
    what.add_argument("--paper-table", type=int, choices=(3, 10), help="this table of the paper, with our figures")
    what.add_argument(
        "--gpu-table",
        nargs=2,
        type=Path,
        metavar=("PREDICT", "TRAIN"),
        help="print a GPU's table from two --json files",
    )
    add(
        "--compile",
        nargs="?",
        const="",
        metavar="MODE",
        help="also measure the compiled fast form (default MODE: by device); slower on a CPU",
    )
    add("--weights", default="", metavar="FILE", help="a checkpoint; its text tower encodes the names")
    add(
        "--image",
        nargs="+",
        default=[],
        metavar="FILE",
        help="pictures; agreement is of all, time is of the first batch",
    )
    add("--no-memory", action="store_true", help="do not measure peak memory (one process for each case)")
    add("--floor", action="store_true", help="also report the least time that the work allows (on a GPU: always)")
    add("--chart", type=Path, metavar="PNG", help="draw the time of each part as bars")
    add("--kept-chart", type=Path, metavar="PNG", help="draw the decoder's time and multiply-adds over K, of several K")
    add("--json", type=Path, metavar="FILE", help="write the rows")
    add("--quiet", action="store_true", help="do not report progress")


def run(args: argparse.Namespace) -> int:
    """Measure, print, write."""
    import logging

    from errseg.benchmark import paper
    from errseg.benchmark.chart import draw
    from errseg.benchmark.kept_chart import draw_kept
    from errseg.benchmark.systems import systems_table
    from errseg.benchmark.tables import report
    from errseg.evaluation.report import write_json

    logging.basicConfig(format="%(message)s", level=logging.ERROR)  # to stderr: stdout holds only the tables
    logging.getLogger("errseg.benchmark").setLevel(logging.WARNING if args.quiet else logging.INFO)
    if args.gpu_table:
        print(_gpu_table(args.gpu_table))
        return 0
    if args.systems:
        rows = systems_rows(args)
        print(systems_table(rows))
        if args.json:
            write_json(args.json, rows)
        return 0
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
    if args.kept_chart:
        draw_kept(rows, args.kept_chart)
    return 0


def systems_rows(args: argparse.Namespace) -> "list[Row]":
    """The rows of ``--systems``.

    Raises:
        UsageError: an option has an invalid value, or does not go with ``--systems``.
    """
    from errseg.benchmark import paper
    from errseg.benchmark.cases import check_options
    from errseg.benchmark.systems import compare, configurations

    alone = ("config", "num_classes", "encode_names", "train", "set_vocabulary", "paper_table", "weights", "image",
             "floor", "chart", "kept_chart")  # fmt: skip
    for option in alone:
        if getattr(args, option):
            raise UsageError(f"--systems does not go with --{option.replace('_', '-')}; leave one of them out.")
    if args.form not in (None, "fast") or args.compile is not None or args.batch != [1]:
        raise UsageError("--systems measures the fast form, uncompiled, one picture; leave the other options out.")
    set_machine(args)
    precisions = [SHORT.get(word, word) for word in args.precision]
    check_options("predict", "fast", precisions, [1], "", args.device)
    cfgs = configurations(args.systems, args.opts, args.device)
    vocabularies = args.vocabulary or paper.TABLE3_VOCABULARIES
    return compare(cfgs, vocabularies, args.repeats or REPEATS[args.device], precisions, not args.no_memory)


def configure(args: argparse.Namespace) -> "CfgNode":
    """The configuration; also set the device and the number of threads.

    Raises:
        UsageError: an option has an invalid value.
    """
    from errseg.config import load_config

    if not args.config:
        raise UsageError("no configuration is given; add --config, such as --config errseg_convnext_base.")
    for value in args.num_classes or []:
        if isinstance(value, int) and value < 1:
            raise UsageError(f"--num-classes is {value}; give 1 or more.")
    if args.paper_table and args.vocabulary:
        raise UsageError("--paper-table has its own vocabularies; leave --vocabulary out.")
    if args.kept_chart and (len({*(args.num_classes or ())}) < 2 or len(args.vocabulary or ()) != 1):
        raise UsageError("--kept-chart needs several K of one --vocabulary, such as --num-classes 4,8,16,32,48,64.")
    missing = [path for path in (*args.image, args.weights) if path and not Path(path).is_file()]
    if missing:
        raise UsageError(f"There is no file {missing[0]}; --image and --weights take files.")
    set_machine(args)
    cfg = load_config(args.config, args.opts)
    cfg.MODEL.DEVICE = args.device
    return cfg


def set_machine(args: argparse.Namespace) -> None:
    """Check the device and the numbers of runs and threads, and set the threads.

    Raises:
        UsageError: an option has an invalid value.
    """
    import torch

    for option in ("repeats", "threads"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise UsageError(f"--{option} is {value}; give 1 or more.")
    if args.device == "auto":
        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    if args.device not in REPEATS:
        raise UsageError(f"--device is {args.device!r}; give cpu or cuda.")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda needs a GPU, and torch sees none; give --device cpu.")
    if args.threads:
        torch.set_num_threads(args.threads)


def measured(args: argparse.Namespace, cfg: "CfgNode", vocabularies: Sequence[str]) -> "list[Row]":
    """The rows of all cases that the options select."""
    from errseg.benchmark.cases import make_cases
    from errseg.benchmark.measure import measure
    from errseg.benchmark.names import name_list
    from errseg.benchmark.rows import make_rows

    kind = "train" if args.train else "set_vocabulary" if args.set_vocabulary else "predict"
    labels, numbers = args.vocabulary or vocabularies, args.num_classes or [None]
    names = [name_list(label, number, cfg, bool(args.train)) for label in labels for number in numbers]
    on_gpu = args.device == "cuda"
    mode = "" if args.compile is None else args.compile or ("reduce-overhead" if on_gpu else "default")
    precisions = [SHORT.get(word, word) for word in args.precision]
    cases = make_cases(kind, args.form or "both", precisions, names, args.batch, mode, args.device, args.encode_names)
    repeats = args.repeats or REPEATS[args.device]
    return make_rows(
        measure(cases, cfg, repeats, args.weights, args.image, not args.no_memory, args.floor or on_gpu), cfg
    )


def _gpu_table(paths: Sequence[Path]) -> str:
    from errseg.benchmark.gpu import summary
    from errseg.safe_files import read_json

    predict, train = (read_json(path, "benchmark file of --json") for path in paths)
    try:
        return summary(predict, train)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"{paths[0]} or {paths[1]} does not hold rows of measurements ({type(error).__name__}: {short(error)}); "
            "give the two files that errseg benchmark --json wrote."
        ) from error


def _words(text: str) -> list[str]:
    words = listed(text)
    if not words:
        raise argparse.ArgumentTypeError("nothing is given")
    return words


def _kept(text: str) -> list[int | str]:
    return [number_or_auto(word) for word in _words(text)]


def _numbers(text: str) -> list[int]:
    return [int(word) for word in _words(text)]
