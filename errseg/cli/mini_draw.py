"""Draw the scenes of the mini world.

  errseg mini draw

Existing scenes are kept.
"""

import argparse
from pathlib import Path

from .parser import Parser


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    help = "folder of all data sets (default: $DETECTRON2_DATASETS, or datasets)"
    parser.add_argument("root", nargs="?", type=Path, metavar="ROOT", help=help)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the whole world (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Draw the whole world."""
    from errseg.mini.generate import COUNTS, generate
    from errseg.mini.layout import data_root

    root = args.root or data_root()
    drawn = generate(root, seed=args.seed)
    print(f"{root / 'mini'}: {drawn} scenes drawn, {sum(COUNTS.values()) - drawn} existed")
    return 0
