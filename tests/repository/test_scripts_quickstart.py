"""scripts/quickstart.sh hands its options on to ``errseg mini run``."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/quickstart.sh"


def quickstart(folder, *words, **variables):
    """The script with a recorder in place of Python, and the arguments that Python got."""
    python, log = folder / "python", folder / "log"
    python.write_text('#!/bin/bash\nprintf "%s\\n" "$@" >"$LOG"\n')
    python.chmod(0o755)
    environment = {**os.environ, "ERRSEG_PYTHON": str(python), "LOG": str(log), **variables}
    done = subprocess.run(["bash", str(SCRIPT), *words], env=environment, capture_output=True, text=True, cwd=folder)
    return done, log.read_text().splitlines() if log.exists() else []


@pytest.mark.parametrize(
    ("words", "variables", "expected"),
    [
        ([], {"OUTPUT": ""}, ["errseg"]),
        (["--system", "deop"], {"OUTPUT": "out put"}, ["deop", "--out", "FOLDER/out put"]),
    ],
)
def test_options(tmp_path, words, variables, expected):
    done, arguments = quickstart(tmp_path, *words, **variables)
    assert done.returncode == 0, done.stderr
    expected = [word.replace("FOLDER", str(tmp_path)) for word in expected]
    assert arguments == ["-m", "errseg", "mini", "run", *expected]


@pytest.mark.parametrize("words", [["--system"], ["deop"]])
def test_a_wrong_option_prints_the_usage(tmp_path, words):
    done, arguments = quickstart(tmp_path, *words)
    assert done.returncode == 2 and arguments == []
    assert done.stderr == "usage: scripts/quickstart.sh [--system SYSTEM]\n"
