"""Several processes give exactly the numbers of one: uneven shares, and more processes than images."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from .processes import SETS, register, run

ROOT = Path(__file__).parents[2]


def test_three_processes_give_the_numbers_of_one(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("needs three processes on the CPU")
    register(tmp_path)
    expected = run(tmp_path, "one")
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, str(Path(__file__).with_name("processes.py")), str(tmp_path), "3"]
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "several/evaluation.json").read_text())
    assert content["results"] == expected
    assert {name: result["images"] for name, result in expected.items()} == SETS
    one, several = (
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "one/saved", tmp_path / "several/saved")
    )
    assert one == several and len(one) == sum(SETS.values()) + 2  # the ledger, and the lock
    csv = [(tmp_path / name / "evaluation/five.csv").read_text() for name in ("one", "several")]
    assert csv[0] == csv[1]
