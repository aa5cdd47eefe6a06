"""scripts/quickstart.sh: the phases of each system, their order, and what a second call does."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/quickstart.sh"
SETS = "mini_seen_sem_seg mini_unseen_sem_seg mini_large_sem_seg"
PHASES = {
    "errseg": [
        "mini draw",
        "mini pretrain --out O/clip.pt",
        "train --config configs/mini/errseg_mini.yaml --resume MODEL.CLIP.PRETRAINED O/clip.pt OUTPUT_DIR O/errseg",
        f"evaluate --config configs/mini/errseg_mini.yaml --weights O/errseg/model_final.pth --dataset {SETS} "
        "--out O/errseg MODEL.CLIP.PRETRAINED O/clip.pt",
    ],
    "deop": [
        "mini draw",
        "mini pretrain --tower vit --out O/clip.pt",
        "train --config configs/mini/deop_mini_stage1.yaml --resume MODEL.CLIP.PRETRAINED O/clip.pt "
        "OUTPUT_DIR O/stage1",
        "train --config configs/mini/deop_mini_stage2.yaml --resume MODEL.CLIP.PRETRAINED O/clip.pt "
        "OUTPUT_DIR O/stage2 MODEL.PROMPT.WEIGHTS O/stage1/model_final.pth",
        "train --config configs/mini/deop_mini.yaml --resume MODEL.CLIP.PRETRAINED O/clip.pt OUTPUT_DIR O/deop "
        "MODEL.PROMPT.WEIGHTS O/stage1/model_final.pth MODEL.PROPOSALS.WEIGHTS O/stage2/model_final.pth",
        f"evaluate --config configs/mini/deop_mini.yaml --weights O/deop/model_final.pth --dataset {SETS} "
        "--out O/deop MODEL.CLIP.PRETRAINED O/clip.pt",
    ],
}


@pytest.fixture
def quickstart(tmp_path):
    """``quickstart(*words, fail="")``: runs the script with a recorder in place of Python, which fails at a word."""
    python, log, output = tmp_path / "python", tmp_path / "log", tmp_path / "out put"
    python.write_text(
        '#!/bin/bash\n[[ $1 == -m && $2 == errseg ]] || exit 0\nshift 2\necho "$*" >>"$LOG"\n'
        '[[ -z $FAIL || "$*" != *$FAIL* ]] || exit 1\n'
        '[[ "$1 $2" != "mini report" ]] || touch "$3/results.json"\n'
    )
    python.chmod(0o755)

    def run(*words, fail=""):
        log.write_text("")
        environment = {**os.environ, "ERRSEG_PYTHON": str(python), "OUTPUT": str(output), "LOG": str(log), "FAIL": fail}
        done = subprocess.run(["bash", str(SCRIPT), *words], env=environment, capture_output=True, text=True)
        return done, log.read_text().replace(str(output), "O").splitlines()

    run.output = output
    return run


@pytest.mark.parametrize("system", PHASES)
def test_phases(quickstart, system):
    done, commands = quickstart(*(["--system", system] if system != "errseg" else []))
    assert done.returncode == 0, done.stderr
    *phases, report = commands
    assert phases == PHASES[system]
    assert report.startswith(f"mini report O --config configs/mini/{system}_mini.yaml --seconds ")


def test_an_interrupted_run_goes_on_and_a_finished_one_starts_again(quickstart):
    done, commands = quickstart("--system", "deop", fail="stage2.yaml")
    assert done.returncode == 1 and commands == PHASES["deop"][:4]
    done, commands = quickstart("--system", "deop")
    assert done.returncode == 0 and commands[:-1] == PHASES["deop"][3:]
    (quickstart.output / "stage1").mkdir()
    done, commands = quickstart("--system", "deop")
    assert done.returncode == 0 and commands[:-1] == PHASES["deop"]
    assert not (quickstart.output / "stage1").exists()


@pytest.mark.parametrize("words", [["--system"], ["--system", "maskformer"], ["deop"]])
def test_a_wrong_option_prints_the_usage(quickstart, words):
    done, commands = quickstart(*words)
    assert done.returncode == 2 and commands == []
    assert done.stderr == "usage: scripts/quickstart.sh [--system errseg|deop]\n"
