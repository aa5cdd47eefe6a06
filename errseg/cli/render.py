"""Draw saved predictions over their images; no model is needed.

  errseg render output/predictions --dataset ade20k_150_test_sem_seg

DIR is the folder of errseg evaluate --save-predictions. Existing overlays are
kept. Exit status 1: a file could not be used.
"""

import argparse
import sys
from pathlib import Path

from .options import add_out
from .parser import Parser


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    parser.add_argument("predictions", type=Path, metavar="DIR", help="the folder of the predictions")
    parser.add_argument("--dataset", required=True, metavar="SET", help="a registered name or a data-set file (*.yaml)")
    add_out(parser, None, "the folder of the overlays (default: overlays in DIR)", metavar="DIR")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that draw (default: one for each CPU)")


def run(args: argparse.Namespace) -> int:
    """Draw, and report."""
    from errseg.evaluation.render import render_predictions

    done = render_predictions(args.predictions, args.dataset, args.out, args.workers)
    print(
        f"{done.folder}: {done.written} overlays written, {done.kept} existed; "
        f"{done.absent} images have no prediction, {len(done.problems)} files could not be used."
    )
    for problem in done.problems:
        print(f"  {problem}", file=sys.stderr)
    return 1 if done.problems else 0
