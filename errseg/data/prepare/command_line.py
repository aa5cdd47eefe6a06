"""The command line that the scripts of ``datasets/`` share."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from errseg.errors import UsageError

from .tasks import Part, convert_part

__all__ = ["main"]

SHOWN_PROBLEMS = 10


def main(parts: Callable[[Path], list[Part]], description: str | None) -> int:
    """Convert a data set.

    Args:
        parts: lists its splits under a root.
        description: what ``--help`` says.

    Returns:
        The exit status: 0, or 2 where anything is not as it should be.
    """
    args = _parse(description)
    program = Path(sys.argv[0]).name
    try:
        problems = _convert(parts, args)
    except UsageError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a folder that cannot be listed or made
        print(f"{program}: {error}; correct that path or its permissions.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: interrupted; the same command goes on from here.", file=sys.stderr)
        return 130
    for problem in problems[:SHOWN_PROBLEMS]:
        print(f"{program}: {problem}", file=sys.stderr)
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        count = f"Problems: {len(problems)}" + (f", {more} of them not shown" if more > 0 else "")
        print(f"{program}: {count}; solve them and run this again, which skips what is done.", file=sys.stderr)
    return 2 if problems else 0


def _convert(parts: Callable[[Path], list[Part]], args: argparse.Namespace) -> list[str]:
    problems = []
    for part in parts(_root(args)):
        if part.note:
            print(part.note)
        if not part.tasks:
            continue
        if len(part.tasks) != part.published:
            print(f"{part.title}: {len(part.tasks):,} images found, where {part.published:,} are published.")
        outcome = convert_part(part, args.workers, args.force)
        print(f"{part.title}: {outcome.converted:,} converted now, {outcome.done_before:,} before.")
        problems += outcome.problems
    return problems


def _root(args: argparse.Namespace) -> Path:
    if args.root and args.root_option and args.root != args.root_option:
        raise UsageError(f"Two roots are given, {args.root} and --root {args.root_option}; give one.")
    root = args.root or args.root_option or Path(os.environ.get("DETECTRON2_DATASETS") or "datasets")
    root = root.expanduser()
    if not root.is_dir():
        raise UsageError(f"There is no folder {root.absolute()}; give --root, or set DETECTRON2_DATASETS.")
    return root


def _parse(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = "the folder of all data sets (default: $DETECTRON2_DATASETS, else datasets)"
    parser.add_argument("root", nargs="?", type=Path, help=where)
    parser.add_argument("--root", dest="root_option", metavar="ROOT", type=Path, help="the same")
    parser.add_argument("--workers", type=_positive, default=_cores(), help="processes (default: the cores)")
    parser.add_argument("--force", action="store_true", help="convert all of it anew")
    return parser.parse_args()


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
