"""The command line of training: a kill and a resume, two processes, evaluation, and what it says of mistakes."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

TOOL = Path(__file__).parents[1] / "tools/train_net.py"
TIMEOUT = 240  # seconds, on a loaded machine


@pytest.fixture
def start(tiny_config_file, tmp_path):
    """Starts the tool on the tiny run; output goes to a file."""
    started = []

    def start_tool(output, *arguments, overrides=()):
        log = open(tmp_path / f"log{len(started)}.txt", "w")
        command = [sys.executable, TOOL, "--config-file", tiny_config_file, *arguments]
        command += ["OUTPUT_DIR", tmp_path / output, *overrides]
        path = os.pathsep.join([str(TOOL.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, cwd=tmp_path, env=environment)
        process.log = Path(log.name)
        started.append(process)
        log.close()
        return process

    yield start_tool
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def finish(process):
    assert process.wait(TIMEOUT) == 0, process.log.read_text()[-3000:]


def losses(directory):
    """Each record's iteration and loss, those that were not finished left out."""
    if not (directory / "metrics.json").exists():
        return []
    lines = [line for line in (directory / "metrics.json").read_text().splitlines() if line.endswith("}")]
    return [(r["iteration"], r["total_loss"]) for r in map(json.loads, lines) if "total_loss" in r]


def weights(directory):
    return torch.load(directory / "model_final.pth", weights_only=True)["model"]


def test_a_killed_run_resumes_to_the_same_loss_curve(start, tmp_path):
    overrides = ["SOLVER.MAX_ITER", 14, "SOLVER.CHECKPOINT_PERIOD", 5, "DATALOADER.NUM_WORKERS", 1]
    overrides += ["MODEL.ESCF.DROP_PATH", 0.2]  # so that the model draws random numbers too
    whole = start("whole", overrides=overrides)
    killed = start("killed", overrides=overrides)
    deadline = time.monotonic() + TIMEOUT
    while len(losses(tmp_path / "killed")) < 8:
        assert killed.poll() is None and time.monotonic() < deadline, killed.log.read_text()[-3000:]
        time.sleep(0.005)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed/model_final.pth").exists()
    resumed = start("killed", "--resume", overrides=overrides)
    finish(whole)
    finish(resumed)
    assert "Starting training from iteration 0" not in resumed.log.read_text()
    assert [iteration for iteration, _ in losses(tmp_path / "whole")] == list(range(14))
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(tmp_path / "killed")[name]), name


def test_two_processes_do_what_one_does(start, tmp_path):
    # SGD's steps are proportional to the gradients, so equal weights say that these were equal.
    overrides = ["SOLVER.MAX_ITER", 3, "SOLVER.OPTIMIZER", "SGD", "SOLVER.BASE_LR", 1.0]
    one = start("one", overrides=overrides)
    finish(one)
    two = start("two", "--num-gpus", 2, overrides=[*overrides, "SOLVER.ACCUMULATION_STEPS", 2])
    finish(two)
    expected, found = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert [i for i, _ in found] == [0, 1, 2]
    assert [x for _, x in found] == pytest.approx([x for _, x in expected], rel=1e-5)
    assert found[2][1] < found[0][1]
    of_one = weights(tmp_path / "one")
    for name, value in weights(tmp_path / "two").items():
        assert torch.allclose(value, of_one[name], rtol=1e-4, atol=1e-6), name
    results = [json.loads((tmp_path / name / "evaluation.json").read_text())["results"] for name in ("one", "two")]
    score = [result["coco_2017_test_stuff_all_sem_seg"]["pACC"] for result in results]
    assert score[1] == pytest.approx(score[0], abs=0.5)

    final = tmp_path / "one/model_final.pth"
    evaluation = start("evaluation", "--eval-only", "--num-gpus", 2, overrides=["MODEL.WEIGHTS", final])
    finish(evaluation)
    assert json.loads((tmp_path / "evaluation/evaluation.json").read_text())["results"] == results[0]
    assert "mIoU" in evaluation.log.read_text()


@pytest.fixture(scope="module")
def tool():
    """The tool as a module."""
    spec = importlib.util.spec_from_file_location("train_net", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config-file", "none.yaml"], "none.yaml does not exist"),
        ([], "--config-file"),
        (["MODEL.CRM.NUM_CLASES_TRAIN", "8"], "MODEL.CRM.NUM_CLASES_TRAIN; did you mean MODEL.CRM.NUM_CLASSES_TRAIN?"),
        (["SOLVER.MAX_ITER", "many"], "SOLVER.MAX_ITER cannot be 'many'"),
        (["SOLVER.MAX_ITER"], "'SOLVER.MAX_ITER' has no value"),
        (["DATASETS.TEST", "('ade20k_150_test_sem_seg',)"], "ADEChallengeData2016/images/validation"),
        (["DATASETS.TRAIN", "('nothing',)"], "DATASETS.TRAIN names 'nothing'"),
        (["MODEL.WEIGHTS", "none.pth"], "MODEL.WEIGHTS none.pth does not exist"),
        (["SOLVER.ACCUMULATION_STEPS", "3"], "IMS_PER_BATCH 4 does not divide"),
        (["--num-gpus", "3"], "3 processes"),
        (["--num-machines", "2"], "--dist-url tcp://"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(tool, tiny_config_file, monkeypatch, capsys, arguments, message):
    given = [] if not arguments or arguments[0] == "--config-file" else ["--config-file", str(tiny_config_file)]
    monkeypatch.setattr(sys, "argv", ["train_net.py", *given, *arguments])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert tool.main() == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("train_net.py: ") and error.count("\n") == 1


def test_an_unknown_key_of_a_file_names_both(tool, tiny_config_file, monkeypatch, capsys):
    tiny_config_file.write_text(tiny_config_file.read_text().replace("MAX_ITER", "MAX_ITERATIONS"))
    monkeypatch.setattr(sys, "argv", ["train_net.py", "--config-file", str(tiny_config_file)])
    assert tool.main() == 2
    error = capsys.readouterr().err
    assert "SOLVER.MAX_ITERATIONS" in error and str(tiny_config_file) in error and error.count("\n") == 1


@pytest.mark.parametrize(("gpus", "asked", "message"), [(0, 1, "add MODEL.DEVICE cpu"), (1, 2, "--num-gpus 2")])
def test_missing_gpus_are_said(tool, tiny_config_file, monkeypatch, capsys, gpus, asked, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    command = ["train_net.py", "--config-file", str(tiny_config_file), "--num-gpus", str(asked), "MODEL.DEVICE", "cuda"]
    monkeypatch.setattr(sys, "argv", command)
    assert tool.main() == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_num_gpus_asks_for_gpus_unless_the_device_is_given(tool, tiny_config_file, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    tiny_config_file.write_text(tiny_config_file.read_text().replace("  DEVICE: cpu\n", ""))
    command = ["train_net.py", "--config-file", str(tiny_config_file), "--num-gpus", "2"]
    monkeypatch.setattr(sys, "argv", command)
    assert tool.main() == 2
    assert "add MODEL.DEVICE cpu" in capsys.readouterr().err
    monkeypatch.setattr(tool, "launch", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", [*command, "MODEL.DEVICE", "cpu"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert tool.main() == 0


def test_several_processes_on_the_cpu_see_no_gpu(tool, tiny_config_file, monkeypatch):
    seen = []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(tool, "launch", lambda *_, **__: seen.append(os.environ["CUDA_VISIBLE_DEVICES"]))
    monkeypatch.setattr(sys, "argv", ["train_net.py", "--config-file", str(tiny_config_file), "--num-gpus", "2"])
    assert tool.main() == 0
    assert seen == [""]


def test_any_other_failure_keeps_its_traceback(tool, tiny_config_file, monkeypatch):
    def fail(*_, **__):
        raise KeyError("a mistake of ours")

    monkeypatch.setattr(tool, "launch", fail)
    monkeypatch.setattr(sys, "argv", ["train_net.py", "--config-file", str(tiny_config_file)])
    with pytest.raises(KeyError, match="a mistake of ours"):
        tool.main()
