"""A table of ablations on the mini world: ``errseg mini ablate TABLE [SEEDS]``.

For every row, ``errseg train`` trains and evaluates the mini system with the keys of the row's file. Rows share one
pretrained CLIP. Where a system is trained in stages, they also share the stages before the last, so that their seeds
are those of its last stage. Runs that are done are not done again.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from tabulate import tabulate

from errseg.config import load_config
from errseg.errors import UsageError
from errseg.evaluation.paper import CONTENT
from errseg.modeling import systems
from errseg.safe_files import read_yaml

from .datasets import DATASET_NAMES
from .done import check_done, is_done

__all__ = [
    "FULL",
    "PAPER",
    "SPLITS",
    "changed_keys",
    "folder_of",
    "label_of",
    "prepare",
    "rows_of",
    "run",
    "table_of",
    "train",
]

SPLITS = ("seen", "unseen", "large")
CLIP = "clip.pt"  # the pretrained CLIP of a folder of runs
FULL = "ERR-Seg"  # the full model, the first row of its paper's tables
PAPER = {Path(row["config"]).name: row["mIoU"] for row in CONTENT["rows"]}  # by the stem of the row's config file


def rows_of(table: str, configs: Path) -> list[str]:
    """The rows of a table: the full model, and the stems of the config files of the other rows.

    Args:
        table: the number of a table of ERR-Seg's paper, or the name of a system whose own table it is.
        configs: the folder of the rows' config files.
    """
    if _is_full(table):
        return [table, *sorted(path.stem for path in configs.glob("*.yaml"))]
    return [FULL, *(row for row in PAPER if row.startswith(f"table{table}_"))]


def _is_full(row: str) -> bool:
    """Whether a row is a full model: it has the name of its system."""
    return any(row == system.name for system in systems())


def changed_keys(path: Path) -> list[str]:
    """The keys in which a config file differs from its ``_BASE_``, as KEY VALUE pairs."""

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
    """The label of a row: the first line of its config file, "# Table V: w/o HSM.", without the table."""
    return path.read_text(encoding="utf-8").splitlines()[0].partition(": ")[2].rstrip(".")


def run(
    row: str,
    seed: int,
    output: Path,
    config: str,
    configs: Path,
    opts: Sequence[str] = (),
    clip: str = CLIP,
) -> dict[str, float]:
    """The mIoU of a row with one seed, by data set. The row is trained first, unless it has been.

    Args:
        row: a row of ``rows_of``.
        seed: the seed of the training.
        output: the folder that holds the CLIP; the runs are written to its sub-folder ``ablations``.
        config: the configuration of the full model.
        configs: the folder of the rows' config files.
        opts: KEY VALUE pairs for every row; those of the row's file come after them.
        clip: the file of the pretrained CLIP in ``output``.

    Raises:
        UsageError: the training failed, or an existing run had another configuration.
    """
    folder = folder_of(output, row, seed)
    evaluation = folder / "evaluation.json"
    overrides = [
        "MODEL.CLIP.PRETRAINED", str(output / clip),
        "DATASETS.TEST", str(tuple(DATASET_NAMES[split] for split in SPLITS)),
        "TEST.EVAL_PERIOD", "1000000", "SEED", str(seed), "OUTPUT_DIR", str(folder),
        *opts, *([] if _is_full(row) else changed_keys(configs / f"{row}.yaml")),
    ]  # fmt: skip
    if is_done(evaluation, (DATASET_NAMES[split] for split in SPLITS)):
        check_done(evaluation, load_config(config, overrides))
    else:
        train(["--config", config, *overrides], folder, f"{row}, seed {seed}")
    results = json.loads(evaluation.read_text(encoding="utf-8"))["results"]
    return {split: results[DATASET_NAMES[split]]["mIoU"] for split in SPLITS}


def folder_of(output: Path, row: str, seed: int) -> Path:
    """The folder of the run of a row with one seed."""
    return output / "ablations" / row / f"seed{seed}"


def train(words: Sequence[str], folder: Path, what: str) -> None:
    """Run ``errseg train --resume``: it goes on where an earlier call was interrupted.

    Args:
        words: the other words of the command.
        folder: the OUTPUT_DIR, which also gets the output as ``console.txt``.
        what: the run, for messages.

    Raises:
        UsageError: the training failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "console.txt").open("w", encoding="utf-8") as log:
        command = [sys.executable, "-m", "errseg", "train", "--resume", *words]
        if subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode:
            raise UsageError(f"{what} failed; its output is in {folder / 'console.txt'}.")


def prepare(output: Path, tower: str = "convnext", clip: str = CLIP) -> None:
    """Draw the scenes, and pretrain the small CLIP of a folder of runs (its file ``clip``), where they are missing."""
    from .generate import generate
    from .layout import data_root

    generate(data_root())
    if not (output / clip).is_file():
        from detectron2.utils.logger import setup_logger

        from .pretraining import pretrain

        setup_logger(name="errseg")
        pretrain(output / clip, data_root(), tower=tower)


def table_of(scores: dict[str, list[dict[str, float]]], configs: Path) -> str:
    """A Markdown table: our scores as mean ± standard deviation over seeds, then those of the paper, marked "(paper)".

    Args:
        scores: for each row, the mIoU by data set of each of its runs.
        configs: the folder of the rows' config files.
    """
    has_paper = any(row == FULL or row in PAPER for row in scores)
    rows = []
    for row, runs in scores.items():
        ours = [[each[split] for each in runs] for split in SPLITS]
        ours = [f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "") for values in ours]
        label = row if _is_full(row) else label_of(configs / f"{row}.yaml")
        figures = PAPER["errseg_convnext_base" if row == FULL else row] if has_paper else ()
        rows.append([label, *ours, *("–" if x is None else x for x in figures)])
    header = ["row", *(f"mini {split}" for split in SPLITS)]
    header += [f"{name} (paper)" for name in CONTENT["data sets"]] if has_paper else []
    return tabulate(rows, header, tablefmt="pipe", disable_numparse=True)


if __name__ == "__main__":
    from errseg.cli import main

    sys.exit(main(["mini", "ablate", *sys.argv[1:]]))
