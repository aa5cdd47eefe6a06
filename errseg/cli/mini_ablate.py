"""Run a table of ablations on the mini world.

  errseg mini ablate V 3

TABLE is V to XI, or 5 to 11, of ERR-Seg's paper, or a system, such as deop;
SEEDS is the number of runs of each row. ERR-Seg's tables show the paper's
numbers too. The scenes and the pretrained CLIP are those of errseg mini run;
they are made if they are missing. DeOP's table repeats its last stage, so
errseg mini run deop comes first. Finished runs are kept.
"""

import argparse
from pathlib import Path

from errseg.errors import UsageError

from .options import CHECKOUT, PACKAGE, add_config, positive
from .parser import Parser

ROMAN = {"V": "5", "VI": "6", "VII": "7", "VIII": "8", "IX": "9", "X": "10", "XI": "11"}


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("table", metavar="TABLE", help=f"one of {', '.join(ROMAN)}, or its number; or a system, such as deop")
    add("seeds", nargs="?", type=positive, default=1, metavar="SEEDS", help="runs of each row (default: 1)")
    add_config(parser, help="the configuration of the full model (default: mini/errseg_mini, or mini/SYSTEM_mini)")
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
        help="the folder of clip.pt and the results (default: output/mini, or output/mini_SYSTEM)",
    )
    parser.alias("--output", "out", type=Path)


def run(args: argparse.Namespace) -> int:
    """Run the missing rows of a table, and print the table."""
    from errseg.mini.ablate import prepare, rows_of, run, table_of
    from errseg.mini.run import default_output, mini_systems, starts_of, system_named

    table = ROMAN.get(args.table.upper(), args.table)
    own = [word for word, system in mini_systems().items() if system.mini and system.mini.ablations]
    if table not in ROMAN.values() and table.lower() not in own:
        raise UsageError(f"TABLE is {args.table!r}; the mini world has the rows of {', '.join([*ROMAN, *own])}.")
    of_paper = table in ROMAN.values()
    system, mini = system_named("errseg" if of_paper else table)
    out, config = args.out or default_output(mini), args.config or mini.config
    folder = Path("configs", mini.ablations or "ablations")
    configs = args.configs or next((root / folder for root in (PACKAGE, CHECKOUT) if (root / folder).is_dir()), folder)
    starts = starts_of(mini, out)
    prepare(out, mini.tower)
    scores: dict[str, list[dict[str, float]]] = {}
    for row in rows_of(table if of_paper else system.name, configs):
        scores[row] = []
        for seed in range(args.seeds):
            scores[row].append(run(row, seed, out, config, configs, [*starts, *args.opts]))
            numbers = ", ".join(f"{split} {value:.1f}" for split, value in scores[row][-1].items())
            print(f"{row}, seed {seed}: mIoU {numbers}", flush=True)
    result = table_of(scores, configs)
    (out / "ablations" / f"table{table.lower()}.md").write_text(result + "\n", encoding="utf-8")
    title, beside = (f"Table {args.table}", ", beside the paper's own numbers") if of_paper else (system.name, "")
    print(f"\n{title} on the mini world, {args.seeds} seeds{beside}\n\n{result}")
    return 0
