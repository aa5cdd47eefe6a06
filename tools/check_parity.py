"""Compare errseg with recorded numbers of the authors' released model; exit status 1 where they differ too much.

python tools/check_parity.py tests/data/parity/*.npz
"""

import argparse
import sys
from pathlib import Path

import errseg  # noqa: F401  makes detectron2 importable
from errseg.errors import UsageError
from errseg.parity import LIMITS, compare, passes, read_fixture

KEY_TABLES = Path(__file__).parent.parent / "tests" / "data" / "parity"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fixtures", nargs="+", type=Path, metavar="FIXTURE.npz")
    parser.add_argument(
        "--key-tables", type=Path, default=KEY_TABLES, help="folder of official_state_dict_{base,large}.json"
    )
    args = parser.parse_args()
    failed = []
    for path in args.fixtures:
        print(f"== {path}")
        for name, value in compare(read_fixture(path), args.key_tables):
            verdict = "" if name not in LIMITS else "ok" if passes(name, value) else f"FAILED (limit {LIMITS[name]:g})"
            print(f"{name:<28} {value:12.4e}  {verdict}".rstrip())
            if not passes(name, value):
                failed.append(f"{path.name}: {name} = {value:.4e}")
    print("\n".join(["", *failed]) if failed else "\nall within limits")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UsageError as error:
        print(f"check_parity.py: {error}", file=sys.stderr)
        sys.exit(2)
