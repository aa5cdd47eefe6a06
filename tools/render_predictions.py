"""Draw the predictions that tools/train_net.py --save-predictions wrote over their images; no model is needed.

    python tools/render_predictions.py output/predictions --dataset ade20k_150_test_sem_seg
    python tools/render_predictions.py output/predictions --dataset my.yaml --out overlays

Overlays that are there already stay. Exit status 1 where a file could not be used; such files are named at the end.
"""

import argparse
import sys
from pathlib import Path

import errseg  # noqa: F401  makes detectron2 importable
from errseg.errors import UsageError
from errseg.evaluation.render import render_predictions


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=Path, metavar="DIR", help="a folder of --save-predictions")
    parser.add_argument("--dataset", required=True, metavar="NAME", help="registered name, or data-set file (*.yaml)")
    parser.add_argument("--out", type=Path, help="folder of the overlays (default: overlays in DIR)")
    parser.add_argument("--workers", type=int, help="processes that draw (default: one for each CPU)")
    args = parser.parse_args()
    try:
        done = render_predictions(args.predictions, args.dataset, args.out, args.workers)
    except UsageError as error:
        print(f"render_predictions.py: {error}", file=sys.stderr)
        return 2
    print(
        f"{done.folder}: {done.written} overlays written, {done.kept} were there; "
        f"{done.absent} images have no prediction, {len(done.problems)} files could not be used."
    )
    for problem in done.problems:
        print(f"  {problem}", file=sys.stderr)
    return 1 if done.problems else 0


if __name__ == "__main__":
    sys.exit(main())
