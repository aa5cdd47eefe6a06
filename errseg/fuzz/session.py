"""A session of the fuzzer: try inputs of several kinds in turn, count the outcomes, keep the input of each fault."""

import json
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from tabulate import tabulate

from errseg.errors import UsageError
from errseg.safe_files import read_json

from .bench import Bench
from .judge import FAULTS, Outcome, try_case
from .kinds import KINDS

__all__ = ["replay", "run_session"]

FILE = "case.json"


def run_session(kinds: Sequence[str], seed: int, inputs: int, minutes: float, out: Path) -> int:
    """Try inputs of each kind in turn; print the outcomes, and a line for each fault.

    Args:
        kinds: of ``KINDS``.
        seed: of the inputs.
        inputs: the largest number of inputs to try, of all kinds together.
        minutes: after which no further input is tried.
        out: where the inputs of faults are kept.

    Returns:
        The exit status: 1 where there is a fault, else 0.
    """
    end = time.monotonic() + 60 * minutes
    counts: dict[str, Counter] = {kind: Counter() for kind in kinds}
    faults = []
    with _bench() as bench:
        for number in range(inputs):
            if time.monotonic() > end:
                break
            kind = kinds[number % len(kinds)]
            outcome = _try(bench, kind, seed, number // len(kinds), out)
            counts[kind][outcome.kind] += 1
            if outcome.kind in FAULTS:
                faults.append(f"{kind} --seed {seed}, input {number // len(kinds)}: {_line(outcome)}")
                print(faults[-1], file=sys.stderr, flush=True)
    print(_table(counts))
    print("\n".join(["", f"{len(faults)} faults", *faults]))
    return 1 if faults else 0


def replay(folder: Path, out: Path) -> str:
    """Try the kept input of a fault again; returns the outcome as a line.

    Args:
        folder: of the kept input.
        out: where the input is kept if it shows a fault again.

    Raises:
        UsageError: the folder does not hold the input of a fault.
    """
    case = read_json(folder / FILE, "record of a fault")
    if not isinstance(case, dict) or not {"kind", "seed", "number"} <= case.keys() or case["kind"] not in KINDS:
        raise UsageError(f"{folder / FILE} is no record of a fault; give a folder under the --out of errseg fuzz.")
    with _bench() as bench:
        return _line(_try(bench, case["kind"], case["seed"], case["number"], out))


@contextmanager
def _bench() -> Iterator[Bench]:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # a forked process does not have its parent's threads
    with tempfile.TemporaryDirectory() as temporary:
        yield Bench(Path(temporary))


def _try(bench: Bench, kind: str, seed: int, number: int, out: Path) -> Outcome:
    """Try an input, and keep it if it shows a fault."""
    name = f"{kind.replace(' ', '-')}-{seed}-{number}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        case = KINDS[kind](random.Random(f"{kind} {seed} {number}"), bench, folder)
        outcome = try_case(case, folder)
        if outcome.kind in FAULTS:
            about = {"kind": kind, "seed": seed, "number": number, "entry": case.entry, "what": case.what}
            shutil.rmtree(out / name, ignore_errors=True)
            shutil.copytree(folder, out / name, ignore=lambda at, names: [n for n in names if (Path(at) / n).is_fifo()])
            (out / name / FILE).write_text(json.dumps({**about, "right": case.right, **outcome._asdict()}, indent=1))
            text = f"{case.entry}, {case.what} (right: {case.right}): {outcome.text}"
            outcome = outcome._replace(text=text)
    return outcome


def _line(outcome: Outcome) -> str:
    """An outcome as a line: its kind, its cost and its text."""
    cost = f"{outcome.wall:.1f} s, {outcome.cpu:.1f} s of CPU, {outcome.megabytes:.0f} MB"
    return f"{outcome.kind} ({cost}): {outcome.text}"


def _table(counts: dict[str, Counter]) -> str:
    """A table with the number of outcomes of each kind of input."""
    columns = ["sentence", "right", *FAULTS]
    rows = [[kind, sum(each.values()), *(each[column] for column in columns)] for kind, each in counts.items()]
    rows.append(["all", *(sum(row[i] for row in rows) for i in range(1, len(columns) + 2))])
    return tabulate(rows, headers=["kind", "inputs", *columns])
