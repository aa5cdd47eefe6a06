"""Compare errseg with recorded numbers of the authors' released models.

  errseg parity tests/data/parity/*.npz

Exit status 1: a difference is above its limit.
"""

import argparse
from pathlib import Path

from .options import CHECKOUT
from .parser import Parser

KEY_TABLES = CHECKOUT / "tests/data/parity"
TABLES = "*state_dict*.json"


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    parser.add_argument("fixtures", nargs="+", type=Path, metavar="FIXTURE", help="files of recorded numbers (*.npz)")
    parser.add_argument(
        "--key-tables",
        type=Path,
        metavar="DIR",
        help="folder of the tables of released keys, such as deop_state_dict.json "
        "(default: that of the fixture, or the checkout's)",
    )


def run(args: argparse.Namespace) -> int:
    """Print each measure, then the measures above their limits."""
    from errseg.parity import limits, measures_of, passes, read_fixture

    failed, limit = [], limits()
    for path in args.fixtures:
        print(f"== {path}")
        tables = args.key_tables or (path.parent if any(path.parent.glob(TABLES)) else KEY_TABLES)
        for name, value in measures_of(read_fixture(path), tables):
            verdict = "" if name not in limit else "ok" if passes(name, value) else f"FAILED (limit {limit[name]:g})"
            print(f"{name:<28} {value:12.4e}  {verdict}".rstrip())
            if not passes(name, value):
                failed.append(f"{path.name}: {name} = {value:.4e}")
    print("\n".join(["", *failed]) if failed else "\nall within limits")
    return 1 if failed else 0
