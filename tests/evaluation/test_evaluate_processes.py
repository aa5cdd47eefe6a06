"""Several processes give exactly the numbers of one: uneven shares, and more processes than images."""

import json
from pathlib import Path

import pytest
import torch

from tests.warm import run_script

from .processes import SETS, register, run


def test_three_processes_give_the_numbers_of_one(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("needs three processes on the CPU")
    register(tmp_path)
    expected = run(tmp_path, "one")
    script = Path(__file__).with_name("processes.py")
    several = run_script(script, [tmp_path, 3], tmp_path, tmp_path / "log.txt")
    assert several.wait(240) == 0, several.log.read_text()
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
