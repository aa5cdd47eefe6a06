"""Evaluates two data sets in several processes: ``python processes.py FOLDER PROCESSES``.

Run by test_evaluate_processes.py.
"""

import sys
from pathlib import Path

import torch
from torch import distributed

import errseg

# isort: split
from detectron2.engine import launch
from detectron2.utils import comm

from errseg.evaluation import evaluate
from tests.evaluation.oracle import LabelOracle, random_set

SETS = {"five": 5, "two": 2}  # images


def register(folder: Path) -> None:
    """The data sets, written where they are not."""
    for seed, (name, images) in enumerate(SETS.items()):
        random_set(folder, name, images=images, classes=6, seed=seed)


def run(folder: Path, output: str) -> dict:
    """Evaluate, saving predictions too."""
    cfg = errseg.get_cfg()
    cfg.merge_from_list(["OUTPUT_DIR", str(folder / output), "INPUT.MIN_SIZE_TEST", 0, "DATALOADER.NUM_WORKERS", 0])
    return evaluate(cfg, LabelOracle(), list(SETS), save_predictions=folder / output / "saved")


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    register(folder)
    results = run(folder, "several")
    assert bool(results) == comm.is_main_process()
    comm.synchronize()
    distributed.destroy_process_group()


if __name__ == "__main__":
    launch(main, int(sys.argv[2]), dist_url="auto", args=(Path(sys.argv[1]),))
