"""scripts/train.sh: the command that it puts together, and real runs of both launchers."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/train.sh"
TOOL = str(ROOT / "tools/train_net.py")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a bash script")


@pytest.fixture
def call(tmp_path):
    """``call(*arguments, **variables)``: the finished script; nothing of SLURM or GPUs but what variables say."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "scontrol").write_text('#!/bin/sh\n[ "$*" = "show hostnames gpu[3-4]" ] && printf "gpu3\\ngpu4\\n"\n')
    (bin_folder / "scontrol").chmod(0o755)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "CUDA_", "ERRSEG_PYTHON"))}

    def run(*arguments, **variables):
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {
            **inherited, "PATH": f"{bin_folder}:{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": "",
            "ERRSEG_PYTHON": sys.executable, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables,
        }  # fmt: skip
        command = [shutil.which("bash"), str(SCRIPT), *map(str, arguments)]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)

    return run


@pytest.fixture
def plan(call):
    """``plan(*arguments, **variables)``: the words of the command that would run, after the interpreter."""

    def dry_run(*arguments, **variables):
        done = call("--dry-run", *arguments, **variables)
        assert done.returncode == 0, done.stderr
        interpreter, *words = shlex.split(done.stdout)
        assert interpreter == sys.executable
        return words

    return dry_run


def test_one_machine(plan):
    assert plan("c.yaml") == [TOOL, "--config-file", "c.yaml"]
    assert plan("c.yaml", CUDA_VISIBLE_DEVICES="0,2,3")[-2:] == ["--num-gpus", "3"]
    assert plan("c.yaml", CUDA_VISIBLE_DEVICES="-1") == plan("c.yaml")
    words = plan("c.yaml", "--dataset", "my set.yaml", "--gpus", 2, "SOLVER.MAX_ITER", 5)
    assert words[3:] == ["--dataset", "my set.yaml", "--num-gpus", "2", "SOLVER.MAX_ITER", "5"]
    words = plan("--gpus", 4, "--resume", "my configs/c.yaml", "SOLVER.STEPS", "(1, 2)")
    expected = [TOOL, "--config-file", "my configs/c.yaml", "--num-gpus", "4", "--resume", "SOLVER.STEPS", "(1, 2)"]
    assert words == expected


def test_two_machines(plan):
    options = ["--gpus", 4, "--nodes", 2, "--node-rank", 1, "--master", "first.host:29500"]
    assert plan(*options, "c.yaml") == [
        TOOL, "--config-file", "c.yaml", "--num-gpus", "4",
        "--num-machines", "2", "--machine-rank", "1", "--dist-url", "tcp://first.host:29500",
    ]  # fmt: skip


def test_torchrun(plan):
    assert plan("--launcher", "torchrun", "--gpus", 4, "c.yaml", "SEED", 1) == [
        "-m", "torch.distributed.run", "--nproc-per-node", "4", "--standalone",
        TOOL, "--config-file", "c.yaml", "SEED", "1",
    ]  # fmt: skip
    options = ["--gpus", 4, "--nodes", 2, "--node-rank", 0, "--master", "h:1", "--launcher", "torchrun"]
    assert plan(*options, "c.yaml")[:12] == [
        "-m", "torch.distributed.run", "--nproc-per-node", "4", "--nnodes", "2", "--node-rank", "0",
        "--master-addr", "h", "--master-port", "1",
    ]  # fmt: skip


SLURM = {
    "SLURM_JOB_ID": "123456",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_STEP_ID": "1",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "gpu[3-4]",
    "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
    "SLURM_NODEID": "1",
    "SLURM_GPUS_ON_NODE": "8",
}


def test_slurm_tells_machines_rank_address_and_gpus(plan):
    address = f"tcp://gpu3:{20000 + 123457 % 20000}"
    expected = ["--num-gpus", "8", "--num-machines", "2", "--machine-rank", "1", "--dist-url", address]
    assert plan("c.yaml", **SLURM)[3:] == expected
    assert plan("c.yaml", **{**SLURM, "SLURM_RESTART_COUNT": "1"})[-1] == "--resume"
    requeued = plan("--nodes", 1, "c.yaml", **{**SLURM, "SLURM_RESTART_COUNT": "1"})
    assert requeued[3:] == ["--num-gpus", "8", "--resume"]
    alone = {"SLURM_JOB_ID": "9", "SLURM_JOB_NUM_NODES": "1", "SLURM_GPUS_ON_NODE": "2"}
    assert plan("c.yaml", **alone)[3:] == ["--num-gpus", "2"]
    assert plan("--gpus", 1, "--master", "other:5", "c.yaml", **SLURM)[3:] == [
        "--num-gpus", "1", "--num-machines", "2", "--machine-rank", "1", "--dist-url", "tcp://other:5",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        ([], {}, "CONFIG is needed"),
        (["--gpus"], {}, "--gpus needs a value"),
        (["--gpus", "many", "c.yaml"], {}, "--gpus is 'many'; give a whole number of at least 0."),
        (["--gpus", "08", "c.yaml"], {}, "--gpus is '08'"),
        (["--nodes", "0", "c.yaml"], {}, "--nodes is '0'; give a whole number of at least 1."),
        (["--fast", "c.yaml"], {}, "there is no option --fast"),
        (["--launcher", "mpi", "c.yaml"], {}, "--launcher is 'mpi'"),
        (["--nodes", "2", "c.yaml"], {}, "2 machines need --node-rank and --master"),
        (["--nodes", "2", "--node-rank", "2", "--master", "h:1", "c.yaml"], {}, "--node-rank is 2, but there are 2"),
        (["--nodes", "2", "--node-rank", "0", "--master", "host", "c.yaml"], {}, "--master is 'host'; give HOST:PORT"),
        (["c.yaml"], {"SLURM_JOB_ID": "1", "SLURM_JOB_NUM_NODES": "2"}, "start it with srun"),
        (["c.yaml"], {**SLURM, "SLURM_STEP_TASKS_PER_NODE": "8(x2)"}, "give --ntasks-per-node 1"),
        (["c.yaml"], {**SLURM, "SLURM_STEP_NODELIST": "unknown"}, "give --master HOST:PORT"),
    ],
)
def test_mistakes_are_one_sentence(call, arguments, variables, message):
    done = call("--dry-run", *arguments, **variables)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith("train.sh: ") and message in done.stderr and done.stderr.count("\n") == 1


def test_help(call):
    done = call("--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: scripts/train.sh") and "SLURM" in done.stdout


def test_two_processes_of_either_launcher_train_alike(call, tiny_config_file, tmp_path):
    records = {}
    for launcher in ("detectron2", "torchrun"):
        output = tmp_path / launcher
        options = ["--launcher", launcher, "--gpus", 2, tiny_config_file, "OUTPUT_DIR", output, "SOLVER.MAX_ITER", 3]
        done = call(*options)
        assert done.returncode == 0, done.stderr[-3000:]
        lines = map(json.loads, (output / "metrics.json").read_text().splitlines())
        losses = [line["total_loss"] for line in lines if "total_loss" in line]
        results = json.loads((output / "evaluation.json").read_text())["results"]
        assert len(losses) == 3
        records[launcher] = losses, results
    assert records["torchrun"] == records["detectron2"]


def test_all_stages_of_a_system(call):
    done = call("--dry-run", "--gpus", "2", "--system", "deop", "SOLVER.MAX_ITER", "5")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[::2] == ["== stage1_prompt", "== stage2_proposals", "== stage3_deop"]
    for heading, words in zip(lines[::2], map(shlex.split, lines[1::2]), strict=True):
        assert words[words.index("--config-file") + 1].endswith(f"configs/deop/{heading[3:]}.yaml")
        assert words[-5:] == ["--num-gpus", "2", "--resume", "SOLVER.MAX_ITER", "5"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--system", "nothing"], "--system is 'nothing', but there are no configs/nothing/stage*.yaml."),
        (["--system", "deop", "OUTPUT_DIR", "x"], "OUTPUT_DIR would be the same folder for all stages of deop"),
    ],
)
def test_stages_that_cannot_run(call, arguments, message):
    done = call("--dry-run", *arguments)
    assert done.returncode == 2 and message in done.stderr
