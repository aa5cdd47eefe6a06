"""scripts/predict.sh and scripts/web.sh: install first, then run the tool from wherever the user is."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.mark.parametrize("name", ["predict", "web"])
@pytest.mark.parametrize(
    ("variables", "python"),
    [
        ({}, "check out/.venv/bin/python"),
        ({"ERRSEG_VENV": "elsewhere"}, "home/elsewhere/bin/python"),
        ({"ERRSEG_PYTHON": "own/python"}, "home/own/python"),  # which has errseg: nothing is installed
    ],
)
def test_installs_and_runs(name, variables, python, tmp_path):
    root, home, python = tmp_path / "check out", tmp_path / "home", tmp_path / python
    for folder in (home, root / "scripts", python.parent):
        folder.mkdir(parents=True, exist_ok=True)
    for script in (name, "environment"):
        shutil.copy(SCRIPTS / f"{script}.sh", root / "scripts")
    (root / "scripts/setup.sh").write_text('echo "setup"\n')
    python.write_text('#!/bin/sh\npwd\nfor word in "$@"; do echo "$word"; done\nexit 3\n')
    python.chmod(0o755)
    command = ["bash", str(root / f"scripts/{name}.sh"), "my photo.jpg", "--classes", "cat, dog"]
    environment = {"PATH": "/usr/bin:/bin", **variables}
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)
    said = [] if "ERRSEG_PYTHON" in variables else ["setup"]
    said += [str(home), str(root / f"tools/{name}.py"), "my photo.jpg", "--classes", "cat, dog"]
    assert done.stdout.splitlines() == said, done.stderr
    assert done.returncode == 3
