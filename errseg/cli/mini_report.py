"""Write the results of the quickstart.

  errseg mini report output/mini --seconds 700

Prints the table, and writes results.json, curves.png and overlays_*.png.
"""

import argparse
from pathlib import Path

from .options import add_config
from .parser import Parser


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add(
        "output", type=Path, metavar="OUTPUT", help="folder of the run: clip.pt, and errseg/ of training and evaluation"
    )
    add_config(parser, default="mini/errseg_mini", help="the configuration of the run (default: mini/errseg_mini)")
    add("--seconds", type=float, required=True, metavar="N", help="total time of the earlier steps")


def run(args: argparse.Namespace) -> int:
    """Write the report, and print the table."""
    from errseg.mini.report import write_report

    print(write_report(args.output, args.config, args.seconds))
    return 0
