"""Make a table or a figure of the papers, with their figures beside ours.

  errseg paper                     what there is, and what each needs
  errseg paper table 4
  errseg paper figure 2 --mini

Writes Markdown, CSV and PNG to --out. Numbers are 4 or IV; deop-1, deop-2 are
DeOP's. --mini takes the mini world and trains what is missing; finished runs
are kept, interrupted ones go on. On the paper's data, --gpus N trains.
Figs. 8 to 10 show the predictions of each --checkpoint side by side.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from errseg.errors import UsageError

from .options import add_config, add_device, add_names, add_out, names_of, positive
from .parser import Parser

if TYPE_CHECKING:
    from errseg.paper.request import Request


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("kind", nargs="?", metavar="KIND", help="table or figure")
    add("number", nargs="?", metavar="NUMBER", help="such as 4, IV or deop-1")
    add("--mini", action="store_true", help="on the mini world")
    add("--seeds", type=positive, default=1, metavar="N", help="training runs of each row (default: 1)")
    add("--gpus", type=int, metavar="N", help="train missing runs on N GPUs (0: in one process)")
    add("--runs", type=Path, metavar="DIR", help="training runs (default: output/paper/runs; with --mini, output/mini)")
    for option, said in (
        ("--checkpoint", "weights or the folder of a run; repeat it for several"),
        ("--evaluation", "an evaluation.json, for Table III and Fig. 1"),
        ("--benchmark", "a file of errseg benchmark --json, for Fig. 1"),
    ):
        add(option, type=_named, action="append", default=[], metavar="NAME=FILE", help=said)
    add("--images", nargs="+", default=[], metavar="FILE", help="pictures, for Figs. 2 and 8 to 10")
    add("--limit", type=positive, default=4, metavar="N", help="pictures of a figure (default: 4)")
    add_names(parser, required=False)
    add_config(parser, help="another configuration of the model")
    add_device(parser)
    add_out(parser, None, "the folder of the results (default: output/paper; with --mini, output/paper/mini)")


def run(args: argparse.Namespace) -> int:
    """Print the list, or make a table or a figure."""
    import logging

    from errseg.failures import explained
    from errseg.paper.registry import find, listing

    request = request_of(args)
    if args.kind is None:
        print(listing(request))
        return 0
    if args.kind not in ("table", "figure") or args.number is None:
        raise UsageError("give table or figure and its number, such as errseg paper table 4; errseg paper lists them.")
    item = find(args.kind, args.number)
    logging.basicConfig(format="%(message)s", level=logging.ERROR)  # to stderr: stdout holds only the table
    for name in ("errseg.evaluation", "errseg.benchmark", "detectron2.evaluation"):
        logging.getLogger(name).setLevel(logging.INFO)
    with explained(request.out):
        sheet = item.make(request)
        print(sheet.markdown() + "\n")
        for path in sheet.write(request.out, item.stem):
            print(path)
    return 0


def request_of(args: argparse.Namespace) -> "Request":
    """The request that the options make."""
    from errseg.paper.request import Request

    if args.gpus is not None and args.gpus < 0:
        raise UsageError(f"--gpus is {args.gpus}; give 0 or more.")
    words = ["errseg paper", args.kind, args.number, *(["--mini"] if args.mini else [])]
    return Request(
        command=" ".join(filter(None, words)),
        runs=args.runs or Path("output/mini" if args.mini else "output/paper/runs"),
        out=args.out or Path("output/paper/mini" if args.mini else "output/paper"),
        mini=args.mini,
        seeds=args.seeds,
        gpus=args.gpus,
        config=args.config or "",
        checkpoints=_by_name("--checkpoint", args.checkpoint),
        evaluations=_paths("--evaluation", args.evaluation),
        benchmarks=_paths("--benchmark", args.benchmark),
        images=tuple(args.images),
        names=names_of(args),
        kept=args.num_classes,
        limit=args.limit,
        device=args.device,
        opts=tuple(args.opts),
    )


def _by_name(option: str, pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The files by name.

    Raises:
        UsageError: a name is there twice.
    """
    files = dict(pairs)
    if len(files) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise UsageError(f"{option} has the name {twice!r} twice; give each file a name of its own.")
    return files


def _paths(option: str, pairs: Sequence[tuple[str, str]]) -> dict[str, Path]:
    return {name: Path(path) for name, path in _by_name(option, pairs).items()}


def _named(text: str) -> tuple[str, str]:
    """NAME=FILE."""
    name, equals, path = text.partition("=")
    if name.strip() in ("", ".", "..") or not (equals and path) or "/" in name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FILE")
    return name.strip(), path
