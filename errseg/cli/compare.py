"""Compare two evaluations: scores of each data set, names that gained and lost.

  errseg compare output/a output/b

A difference is B minus A. Its 95 % interval is over images (paired bootstrap):
where it has 0, the choice of the images explains the difference. A warning
names differences of the two measurements: other data, vocabularies, K or test
options.
"""

import argparse
from pathlib import Path

from errseg.errors import UsageError

from .parser import Parser


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    parser.add_argument("a", type=Path, metavar="A", help="an evaluation.json, or the OUTPUT_DIR that holds it")
    parser.add_argument("b", type=Path, metavar="B", help="the evaluation to compare with A")
    help = "list the N names that gained most and that lost most; 0: all (default: 10)"
    parser.add_argument("--top", type=int, default=10, metavar="N", help=help)


def run(args: argparse.Namespace) -> int:
    """Print the comparison."""
    from errseg.evaluation.compare import compare, load_run

    if args.top < 0:
        raise UsageError(f"--top is {args.top}; give a number of classes, or 0 for all.")
    print(compare(load_run(args.a), load_run(args.b), args.top))
    return 0
