"""Give errseg inputs that are wrong in many ways, made from a seed, and judge what it does with each.

    python tools/fuzz.py --inputs 1000
    python tools/fuzz.py --minutes 30 --seed 5 --only picture --only weights
    python tools/fuzz.py --replay output/fuzz/picture-0-17

Right is one sentence (UsageError), or a result that is right. Faults are code that runs or a connection that is
tried, a crash, more than 5 s, more than 2 GB, another exception, and a wrong input that is accepted without a word.
The input of each fault is kept under --out. Exit status 1 where there is a fault.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import torch
from tabulate import tabulate

from errseg.fuzz import FAULTS, KINDS, Outcome, try_case
from errseg.fuzz.bench import Bench

FILE = "case.json"


def main() -> int:
    args = parse()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # a forked process has no threads of its parent
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(Path(temporary))
        if args.replay:
            case = json.loads((args.replay / FILE).read_text())
            print(show(one(bench, case["kind"], case["seed"], case["number"], args.out)))
            return 0
        counts, faults = run(args, bench)
    print(table(counts))
    print("\n".join(["", f"{len(faults)} faults", *faults]))
    return 1 if faults else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    add("--inputs", type=int, default=1000, metavar="N", help="at most, of all kinds together (default: %(default)s)")
    add("--minutes", type=float, default=60, metavar="X", help="at most (default: %(default)s)")
    add("--only", action="append", choices=KINDS, metavar="KIND", help=f"of {', '.join(KINDS)}; several times")
    add("--replay", type=Path, metavar="DIR", help="the kept input of a fault")
    add("--out", type=Path, default=Path("output/fuzz"), metavar="DIR", help="default: %(default)s")
    return parser.parse_args()


def run(args: argparse.Namespace, bench: Bench) -> tuple[dict[str, Counter], list[str]]:
    """Try inputs of each kind in turn; returns the outcomes of each kind, and a line for each fault."""
    kinds = args.only or list(KINDS)
    end = time.monotonic() + 60 * args.minutes
    counts, faults = {kind: Counter() for kind in kinds}, []
    for number in range(args.inputs):
        if time.monotonic() > end:
            break
        kind = kinds[number % len(kinds)]
        outcome = one(bench, kind, args.seed, number // len(kinds), args.out)
        counts[kind][outcome.kind] += 1
        if outcome.kind in FAULTS:
            faults.append(f"{kind} --seed {args.seed}, input {number // len(kinds)}: {show(outcome)}")
            print(faults[-1], file=sys.stderr, flush=True)
    return counts, faults


def one(bench: Bench, kind: str, seed: int, number: int, out: Path) -> Outcome:
    """Try an input; it is kept where it shows a fault."""
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


def show(outcome: Outcome) -> str:
    """An outcome as a line and what it was."""
    cost = f"{outcome.wall:.1f} s, {outcome.cpu:.1f} s of CPU, {outcome.megabytes:.0f} MB"
    return f"{outcome.kind} ({cost}): {outcome.text}"


def table(counts: dict[str, Counter]) -> str:
    """The outcomes of each kind."""
    columns = ["sentence", "right", *FAULTS]
    rows = [[kind, sum(each.values()), *(each[column] for column in columns)] for kind, each in counts.items()]
    rows.append(["all", *(sum(row[i] for row in rows) for i in range(1, len(columns) + 2))])
    return tabulate(rows, headers=["kind", "inputs", *columns])


if __name__ == "__main__":
    sys.exit(main())
