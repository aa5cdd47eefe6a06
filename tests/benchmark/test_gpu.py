"""scripts/benchmark_gpu.sh and its table, from made-up figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from errseg.benchmark.gpu import summary
from errseg.errors import UsageError

SCRIPT = Path(__file__).parents[2] / "scripts/benchmark_gpu.sh"


def row(form, precision, batch, seconds, peak=None, kind="predict", **changes):
    speed = batch / seconds if seconds else None
    return {
        "kind": kind, "form": form, "precision": precision, "batch": batch, "latency_s": seconds, "compiled": None,
        "images_per_second": speed, "peak_memory_mb": peak, "vocabulary": "ade20k_847", "device_name": "A GPU",
        "torch": "2", "floor_macs_s": None, "floor_bytes_s": None, **changes,
    }  # fmt: skip


@pytest.fixture
def predict():
    return [
        row("plain", "fp32", 1, 0.100, 4500.0),
        row("fast", "bf16", 1, 0.020, 1200.0, floor_macs_s=0.001, floor_bytes_s=0.004),
        row("fast", "bf16", 1, 0.010, 2000.0, compiled="reduce-overhead"),
        row("plain", "fp32", 8, 0.500, 20000.0),
        row("fast", "bf16", 8, 0.100, 5000.0, floor_macs_s=0.020, floor_bytes_s=0.010),
        row("plain", "fp32", 64, None),
    ]


@pytest.fixture
def train():
    return [
        row("plain", "fp32", 4, 1.0, kind="train"), row("plain", "fp16", 4, 0.6, kind="train"),
        row("fast", "fp32", 4, 0.7, kind="train"), row("fast", "fp16", 4, 0.4, kind="train"),
    ]  # fmt: skip


def test_table(predict, train):
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in summary(predict, train).splitlines()]
    cells = {line[0]: line[1:] for line in lines if line}
    assert cells["ade20k_847 bf16, batch 1"] == [
        "100 ms, 10.0 images/s (plain, batch 1)", "10.0 ms, 100.0 images/s (fast, compiled, batch 1)",
        "10.00 ×", "6 ×", "ok",
    ]  # fmt: skip
    assert cells["ade20k_847 bf16, each at its best batch"][2:] == ["6.25 ×", "6 ×", "ok"]
    assert cells["ade20k_847 bf16, peak memory at batch 1"] == ["4.50 GB", "2.00 GB", "0.44", "0.33", "missed"]
    assert cells["training step with AMP, batch 4, against plain fp32"][2:] == ["2.50 ×", "2 ×", "ok"]
    assert cells["training step with AMP, batch 4, against plain AMP (fp16)"][2:] == ["1.50 ×", "2 ×", "missed"]


def test_floor_is_that_of_the_rows_which_have_one(predict, train):
    predict = [each for each in predict if not each["compiled"]]
    assert "| batch 1" in summary(predict, train) and "20 % |" in summary(predict, train)


def test_a_missing_figure_is_named(predict, train):
    with pytest.raises(UsageError, match="no figure of fast bf16 at batch 1"):
        summary([each for each in predict if each["form"] == "plain"], train)
    with pytest.raises(UsageError, match="no figure of fast training step with AMP"):
        summary(predict, train[:3])


def test_command_line(predict, train, command, tmp_path):
    for name, rows in (("predict", predict), ("train", train)):
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    words = ("benchmark", "--gpu-table", tmp_path / "predict.json", tmp_path / "train.json")
    status, out, _ = command(*words)
    assert status == 0 and "A GPU, torch 2" in out
    (tmp_path / "train.json").unlink()
    status, _, err = command(*words)
    assert status == 2 and "train.json" in err


@pytest.mark.skipif(torch.cuda.is_available() or sys.platform == "win32", reason="for machines without a GPU")
def test_script_without_a_gpu_says_so(tmp_path):
    def call(*arguments):
        environment = {**os.environ, "ERRSEG_PYTHON": sys.executable}
        return subprocess.run([SCRIPT, *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True)

    done = call()
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("benchmark_gpu.sh: torch sees no GPU") and done.stderr.count("\n") == 1
    assert "does not exist" in call("gone.yaml").stderr and "no option --gpu" in call("--gpu").stderr
    assert "usage: scripts/benchmark_gpu.sh" in call("--help").stdout


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_measures_on_a_gpu(benchmark_tool):
    common = ("--device", "cuda", "--vocabulary", "random:40")
    status, rows, _, err = benchmark_tool(*common, "--num-classes", 6, "--precision", "bf16", "--compile")
    assert status == 0, err
    assert [row["compiled"] for row in rows] == [None, None, "reduce-overhead"]
    for measured in rows:
        assert measured["latency_s"] > 0 < measured["peak_memory_mb"] and measured["floor_bytes_s"] > 0
    status, rows, _, err = benchmark_tool(*common, "--train", "--precision", "fp32,fp16", "--batch", 2)
    assert status == 0, err
    assert [(row["form"], row["precision"]) for row in rows[1:3]] == [("plain", "fp16"), ("fast", "fp32")]
    assert all(list(row["parts_s"])[-2:] == ["backward", "optimizer"] for row in rows)
