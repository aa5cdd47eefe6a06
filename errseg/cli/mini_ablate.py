"""Run a table of ablations on the mini world.

  errseg mini ablate V 3

TABLE is V to XI, or 5 to 11, of ERR-Seg's paper, or deop; SEEDS is the number
of runs of each row. ERR-Seg's tables show the paper's numbers too. The scenes
and the pretrained CLIP are those of the quickstart; they are made if they are
missing. DeOP's table repeats the last stage of its quickstart, which must have
been run. Finished runs are kept.
"""

import argparse
from pathlib import Path

from errseg.errors import UsageError

from .options import CHECKOUT, PACKAGE, add_config, positive
from .parser import Parser

ROMAN = {"V": "5", "VI": "6", "VII": "7", "VIII": "8", "IX": "9", "X": "10", "XI": "11"}
# The folder of the results, the configuration of the full model, the folder of the rows' files: of ERR-Seg, of DeOP
DEFAULTS = (
    ("output/mini", "mini/errseg_mini", "ablations"),
    ("output/mini_deop", "mini/deop_mini", "mini/deop_ablations"),
)


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("table", metavar="TABLE", help=f"one of {', '.join(ROMAN)}, or its number; or deop")
    add("seeds", nargs="?", type=positive, default=1, metavar="SEEDS", help="runs of each row (default: 1)")
    add_config(parser, help="the configuration of the full model (default: mini/errseg_mini; for deop, mini/deop_mini)")
    add(
        "--configs",
        type=Path,
        metavar="DIR",
        help="folder with the configuration of each row (default: errseg's ablations)",
    )
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="the folder of clip.pt and the results (default: output/mini; for deop, output/mini_deop)",
    )
    parser.alias("--output", "out", type=Path)


def run(args: argparse.Namespace) -> int:
    """Run the missing rows of a table, and print the table."""
    from errseg.mini.ablate import DEOP, prepare, rows_of, run, starts_of, table_of

    table = DEOP if args.table.lower() == "deop" else ROMAN.get(args.table.upper(), args.table)
    if table != DEOP and table not in ROMAN.values():
        raise UsageError(f"TABLE is {args.table!r}; the mini world has the rows of {', '.join(ROMAN)} and deop.")
    default_out, config, folder = DEFAULTS[table == DEOP]
    out, config = args.out or Path(default_out), args.config or config
    folders = (PACKAGE / "configs" / folder, CHECKOUT / "configs" / folder)
    configs = args.configs or next((each for each in folders if each.is_dir()), folders[0])
    starts = starts_of(out) if table == DEOP else []
    prepare(out)
    scores: dict[str, list[dict[str, float]]] = {}
    for row in rows_of(table, configs):
        scores[row] = []
        for seed in range(args.seeds):
            scores[row].append(run(row, seed, out, config, configs, [*starts, *args.opts]))
            numbers = ", ".join(f"{split} {value:.1f}" for split, value in scores[row][-1].items())
            print(f"{row}, seed {seed}: mIoU {numbers}", flush=True)
    result = table_of(scores, configs)
    (out / "ablations" / f"table{table}.md").write_text(result + "\n", encoding="utf-8")
    beside = "" if table == DEOP else ", beside the paper's own numbers"
    print(f"\nTable {args.table} on the mini world, {args.seeds} seeds{beside}\n\n{result}")
    return 0
