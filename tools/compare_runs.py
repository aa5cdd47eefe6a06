"""Compare two evaluations: the scores of each data set, and the classes that gained and lost.

    python tools/compare_runs.py output/a output/b
    python tools/compare_runs.py a/evaluation.json b/evaluation.json --top 0

Warns where they were not measured alike: other data, vocabularies, K or test options.
"""

import argparse
import sys
from pathlib import Path

import errseg  # noqa: F401  makes detectron2 importable
from errseg.errors import UsageError
from errseg.evaluation.compare import compare, load_run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", type=Path, help="an evaluation.json, or the OUTPUT_DIR that holds it")
    parser.add_argument("b", type=Path, help="another; differences are those of B from A")
    parser.add_argument("--top", type=int, default=10, help="classes that lost, and that gained, most; 0: all")
    args = parser.parse_args()
    try:
        if args.top < 0:
            raise UsageError(f"--top is {args.top}; give a number of classes, or 0 for all.")
        print(compare(load_run(args.a), load_run(args.b), args.top))
    except UsageError as error:
        print(f"compare_runs.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
