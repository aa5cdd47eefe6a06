"""Run a table of the paper's ablations on the mini world.

  errseg mini ablate V 3

TABLE is V to XI, or 5 to 11; SEEDS is the number of runs of each row. The table
shows the paper's numbers too. The scenes and the pretrained CLIP are those of
the quickstart; they are made if they are missing. Finished runs are kept.
"""

import argparse
from pathlib import Path

from errseg.errors import UsageError

from .options import CHECKOUT, PACKAGE, add_config, add_out, positive
from .parser import Parser

ROMAN = {"V": "5", "VI": "6", "VII": "7", "VIII": "8", "IX": "9", "X": "10", "XI": "11"}


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("table", metavar="TABLE", help=f"one of {', '.join(ROMAN)}, or its number")
    add("seeds", nargs="?", type=positive, default=1, metavar="SEEDS", help="runs of each row (default: 1)")
    add_config(
        parser, default="mini/errseg_mini", help="the configuration of the full model (default: mini/errseg_mini)"
    )
    add(
        "--configs",
        type=Path,
        metavar="DIR",
        help="folder with the configuration of each row (default: errseg's ablations)",
    )
    add_out(parser, "output/mini", "the folder of clip.pt and the results", metavar="DIR")
    parser.alias("--output", "out", type=Path)


def run(args: argparse.Namespace) -> int:
    """Run the missing rows of a table, and print the table."""
    from errseg.mini.ablate import rows_of, run, table_of
    from errseg.mini.generate import generate
    from errseg.mini.layout import data_root

    table = ROMAN.get(args.table.upper(), args.table)
    if table not in ROMAN.values():
        raise UsageError(f"TABLE is {args.table!r}; the mini world has the rows of {', '.join(ROMAN)}.")
    folders = (PACKAGE / "configs/ablations", CHECKOUT / "configs/ablations")
    configs = args.configs or next((folder for folder in folders if folder.is_dir()), folders[0])
    generate(data_root())
    if not (args.out / "clip.pt").is_file():
        from detectron2.utils.logger import setup_logger

        from errseg.mini.pretraining import pretrain

        setup_logger(name="errseg")
        pretrain(args.out / "clip.pt", data_root())
    scores: dict[str, list[dict[str, float]]] = {}
    for row in rows_of(table):
        scores[row] = []
        for seed in range(args.seeds):
            scores[row].append(run(row, seed, args.out, args.config, configs, args.opts))
            numbers = ", ".join(f"{split} {value:.1f}" for split, value in scores[row][-1].items())
            print(f"{row}, seed {seed}: mIoU {numbers}", flush=True)
    result = table_of(scores, configs)
    (args.out / "ablations" / f"table{table}.md").write_text(result + "\n", encoding="utf-8")
    print(f"\nTable {args.table} on the mini world, {args.seeds} seeds, beside the paper's own numbers\n\n{result}")
    return 0
