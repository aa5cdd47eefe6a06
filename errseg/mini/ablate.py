"""A table of the paper's ablations on the mini world: ``python -m errseg.mini.ablate TABLE [SEEDS]``.

Every row is the mini ERR-Seg with the keys that the row's file in ``configs/ablations`` changes, trained and evaluated
by tools/train_net.py. Rows share one pretrained CLIP. What is done is not done again.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

from tabulate import tabulate

from errseg.config import load_config
from errseg.errors import UsageError
from errseg.evaluation.paper import CONTENT
from errseg.safe_files import read_yaml

from .datasets import DATASET_NAMES
from .done import check_done

__all__ = ["changed_keys", "rows_of", "table_of"]

SPLITS = ("seen", "unseen", "large")
ROMAN = {"V": "5", "VI": "6", "VII": "7", "VIII": "8", "IX": "9", "X": "10", "XI": "11"}
FULL = "ERR-Seg"
PAPER = {Path(row["config"]).name: row["mIoU"] for row in CONTENT["rows"]}  # by the stem of the row's config file


def rows_of(table: str) -> list[str]:
    """The rows of a table, by number: the full model, and the stems of the others' config files."""
    return [FULL, *(row for row in PAPER if row.startswith(f"table{table}_"))]


def changed_keys(path: Path) -> list[str]:
    """What a config file changes of its ``_BASE_``, as KEY VALUE pairs."""

    def flatten(node: dict, prefix: str) -> list[str]:
        pairs = []
        for key, value in node.items():
            name = f"{prefix}{key}"
            pairs += flatten(value, f"{name}.") if isinstance(value, dict) else [name, str(value)]
        return pairs

    content = read_yaml(path, "config file")
    content.pop("_BASE_")
    return flatten(content, "")


def label_of(path: Path) -> str:
    """What a config file calls its row: its first line, "# Table V: w/o HSM.", without the table."""
    return path.read_text(encoding="utf-8").splitlines()[0].partition(": ")[2].rstrip(".")


def run(row: str, seed: int, args: argparse.Namespace) -> dict[str, float]:
    """mIoU of a row, by set, of one seed; trained first unless it was."""
    output = args.output / "ablations" / row / f"seed{seed}"
    evaluation = output / "evaluation.json"
    overrides = [
        "MODEL.CLIP.PRETRAINED", str(args.output / "clip.pt"),
        "DATASETS.TEST", str(tuple(DATASET_NAMES[split] for split in SPLITS)),
        "TEST.EVAL_PERIOD", "1000000", "SEED", str(seed), "OUTPUT_DIR", str(output),
        *([] if row == FULL else changed_keys(args.configs / f"{row}.yaml")), *args.opts,
    ]  # fmt: skip
    if evaluation.is_file():
        check_done(evaluation, load_config(args.config_file, overrides))
    else:
        command = [sys.executable, "tools/train_net.py", "--config-file", args.config_file, "--resume", *overrides]
        output.mkdir(parents=True, exist_ok=True)
        with (output / "console.txt").open("w", encoding="utf-8") as log:
            if subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode:
                sys.exit(f"{row}, seed {seed} failed; its output is in {output / 'console.txt'}.")
    results = json.loads(evaluation.read_text(encoding="utf-8"))["results"]
    return {split: results[DATASET_NAMES[split]]["mIoU"] for split in SPLITS}


def table_of(scores: dict[str, list[dict[str, float]]], configs: Path) -> str:
    """Markdown: ours as mean ± standard deviation over seeds, then the paper's, marked as such.

    Args:
        scores: mIoU by set, of each run of each row.
        configs: folder of the rows' config files.
    """
    rows = []
    for row, runs in scores.items():
        ours = [[each[split] for each in runs] for split in SPLITS]
        ours = [f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "") for values in ours]
        label = row if row == FULL else label_of(configs / f"{row}.yaml")
        figures = PAPER["errseg_convnext_base" if row == FULL else row]
        rows.append([label, *ours, *("–" if x is None else x for x in figures)])
    header = ["row", *(f"mini {split}" for split in SPLITS), *(f"{name} (paper)" for name in CONTENT["data sets"])]
    return tabulate(rows, header, tablefmt="pipe", disable_numparse=True)


def main() -> None:
    """Run what is missing of a table, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", help=f"one of {', '.join(ROMAN)}, or its number")
    parser.add_argument("seeds", nargs="?", type=int, default=1, help="runs of each row")
    parser.add_argument("opts", nargs="*", help="KEY VALUE pairs for every row")
    parser.add_argument("--output", type=Path, default=Path("output/mini"), help="holds clip.pt")
    parser.add_argument("--config-file", default="configs/mini/errseg_mini.yaml")
    parser.add_argument("--configs", type=Path, default=Path("configs/ablations"))
    args = parser.parse_args()
    table = ROMAN.get(args.table.upper(), args.table)
    if table not in ROMAN.values():
        parser.error(f"TABLE is {args.table!r}; the mini world has the rows of {', '.join(ROMAN)}.")
    if args.seeds < 1:
        parser.error(f"SEEDS is {args.seeds}; give 1 or more.")
    scores = {}
    for row in rows_of(table):
        scores[row] = []
        for seed in range(args.seeds):
            try:
                scores[row].append(run(row, seed, args))
            except UsageError as error:
                parser.error(str(error))
            numbers = ", ".join(f"{split} {value:.1f}" for split, value in scores[row][-1].items())
            print(f"{row}, seed {seed}: mIoU {numbers}", flush=True)
    result = table_of(scores, args.configs)
    (args.output / "ablations" / f"table{table}.md").write_text(result + "\n", encoding="utf-8")
    print(f"\nTable {args.table} on the mini world, {args.seeds} seeds, beside the paper's own numbers\n\n{result}")


if __name__ == "__main__":
    main()
