"""Train a system on the mini world, from the scenes to the report.

  errseg mini run
  errseg mini run deop

Draws the scenes, pretrains a small CLIP, trains the system in all its stages,
evaluates it on seen and never-seen names, and writes a report with pictures.
An interrupted run goes on when you call it again; a finished one starts again.
"""

import argparse
from pathlib import Path

from .parser import Parser


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("system", nargs="?", default="errseg", metavar="SYSTEM", help="such as errseg, which is the default, or deop")
    add("--out", type=Path, metavar="DIR", help="folder of the results (default: output/mini, or output/mini_SYSTEM)")
    add("--seed", type=int, metavar="N", help="seed of the training (default: that of the configuration)")


def run(args: argparse.Namespace) -> int:
    """Run the phases that are not done."""
    from errseg.mini.run import run

    return run(args.system, args.out, args.seed)
