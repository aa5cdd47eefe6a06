"""scripts/predict.sh and scripts/web.sh: install first, then run the tool from wherever the user is."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.mark.parametrize("name", ["predict", "web"])
@pytest.mark.parametrize("venv", ["", "elsewhere"])
def test_installs_and_runs(name, venv, tmp_path):
    root, home = tmp_path / "check out", tmp_path / "home"
    home.mkdir()
    (root / "scripts").mkdir(parents=True)
    shutil.copy(SCRIPTS / f"{name}.sh", root / "scripts")
    python = (home / venv if venv else root / ".venv") / "bin/python"
    python.parent.mkdir(parents=True)
    (root / "scripts/setup.sh").write_text('echo "setup"\n')
    python.write_text('#!/bin/sh\npwd\nfor word in "$@"; do echo "$word"; done\nexit 3\n')
    python.chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin"} | ({"ERRSEG_VENV": venv} if venv else {})
    command = ["bash", str(root / f"scripts/{name}.sh"), "my photo.jpg", "--classes", "cat, dog"]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)
    tool = str(root / f"tools/{name}.py")
    assert done.stdout.splitlines() == ["setup", str(home), tool, "my photo.jpg", "--classes", "cat, dog"], done.stderr
    assert done.returncode == 3
