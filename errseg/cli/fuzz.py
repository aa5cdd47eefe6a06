"""Give errseg many kinds of wrong input, and judge the answers.

  errseg fuzz --minutes 30 --seed 5 --only picture --only weights

Correct answers: one sentence (UsageError), or a correct result. Faults: code in
the input is run, a connection is tried, a crash, more than 5 s, more than 2 GB,
another exception, a wrong input that is accepted silently. The input of each
fault is kept under --out. Exit status 1: there is a fault.
"""

import argparse
from pathlib import Path

from errseg.errors import UsageError

from .options import add_out
from .parser import Parser


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--seed", type=int, default=0, metavar="N", help="seed of the inputs (default: %(default)s)")
    add(
        "--inputs",
        type=int,
        default=1000,
        metavar="N",
        help="most inputs, of all kinds together (default: %(default)s)",
    )
    add("--minutes", type=float, default=60, metavar="X", help="most minutes (default: %(default)s)")
    add("--only", action="append", metavar="KIND", help="a kind of input, such as picture; may be given several times")
    add("--replay", type=Path, metavar="DIR", help="repeat the kept input of a fault")
    add_out(parser, "output/fuzz", "the folder of the faults' inputs", metavar="DIR")


def run(args: argparse.Namespace) -> int:
    """Try the inputs, print the outcomes."""
    from errseg.fuzz import KINDS
    from errseg.fuzz.session import replay, run_session

    unknown = [kind for kind in args.only or () if kind not in KINDS]
    if unknown:
        raise UsageError(f"--only is {unknown[0]!r}; give one of {', '.join(KINDS)}.")
    if args.replay:
        print(replay(args.replay, args.out))
        return 0
    return run_session(args.only or list(KINDS), args.seed, args.inputs, args.minutes, args.out)
