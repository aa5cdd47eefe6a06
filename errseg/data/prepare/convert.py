"""Convert a whole data set: its splits one after the other, with a line for each."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from errseg.errors import UsageError

from .tasks import Part, convert_part

__all__ = ["convert"]

SHOWN_PROBLEMS = 10


def convert(
    parts: Callable[[Path], list[Part]],
    root: Path | None = None,
    workers: int | None = None,
    force: bool = False,
    program: str = "errseg data prepare",
) -> int:
    """Convert a data set, and print what was done.

    Args:
        parts: lists its splits under a root.
        root: the folder of all data sets; None: ``$DETECTRON2_DATASETS``, or ``datasets``.
        workers: number of processes; None: one for each CPU.
        force: convert every image again.
        program: begins each line on standard error.

    Returns:
        The exit status: 0; 2 where there is any problem; 130 after Ctrl-C.
    """
    try:
        problems = _convert(parts, root, workers or _cores(), force)
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


def _convert(parts: Callable[[Path], list[Part]], root: Path | None, workers: int, force: bool) -> list[str]:
    problems = []
    for part in parts(_existing(root)):
        if part.note:
            print(part.note)
        if not part.tasks:
            continue
        if len(part.tasks) != part.published:
            print(f"{part.title}: {len(part.tasks):,} images found, where {part.published:,} are published.")
        outcome = convert_part(part, workers, force)
        print(f"{part.title}: {outcome.converted:,} converted now, {outcome.done_before:,} before.")
        problems += outcome.problems
    return problems


def _existing(root: Path | None) -> Path:
    root = (root or Path(os.environ.get("DETECTRON2_DATASETS") or "datasets")).expanduser()
    if not root.is_dir():
        raise UsageError(f"There is no folder {root.absolute()}; give the folder, or set DETECTRON2_DATASETS.")
    return root


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
