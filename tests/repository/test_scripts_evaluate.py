"""scripts/evaluate.sh: its command, and all data sets from raw copies to the table in one run."""

import json
import os
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import errseg
from errseg.data import register_all
from errseg.engine import load_config
from errseg.evaluation import evaluate
from tests.data.raw_copies import WRITERS

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/evaluate.sh"
# Registered name, name in the table, K, classes, ignore label, folder of the converted labels
SETS = [
    ("ade20k_full_sem_seg_freq_val_all", "A-847", 48, 847, 65535, "ADE20K_2021_17_01/annotations_detectron2/"),
    ("context_459_test_sem_seg", "PC-459", 48, 459, 459, "VOCdevkit/VOC2010/annotations_detectron2/pc459_val/"),
    ("ade20k_150_test_sem_seg", "A-150", 32, 150, 255, "ADEChallengeData2016/annotations_detectron2/"),
    ("context_59_test_sem_seg", "PC-59", 24, 59, 255, "VOCdevkit/VOC2010/annotations_detectron2/pc59_val/"),
    ("voc_2012_test_sem_seg", "PAS-20", 16, 20, 255, "VOCdevkit/VOC2012/annotations_detectron2/val/"),
    ("voc_2012_test_background_sem_seg", "PAS-20b", 24, 21, 255, "VOCdevkit/VOC2012/annotations_detectron2_bg/"),
]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a bash script")


def call(*arguments, cwd, **variables):
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "ERRSEG_PYTHON": sys.executable}
    command = [shutil.which("bash"), str(SCRIPT), *map(str, arguments)]
    return subprocess.run(
        command, env={**environment, **variables}, cwd=cwd, capture_output=True, text=True, timeout=300
    )


def plan(tmp_path, *arguments):
    done = call("--dry-run", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    interpreter, *words = shlex.split(done.stdout)
    assert [interpreter, *words[:3]] == [sys.executable, "-m", "errseg", "evaluate"]
    return words[3:]


def test_the_command(tmp_path):
    start = ["--config", "c.yaml", "--weights", "w.pth"]
    assert plan(tmp_path, "c.yaml", "w.pth") == start
    words = plan(tmp_path, "c.yaml", "w.pth", 4, "TEST.SCALES", "(0.5, 1.0)")
    assert words == [*start, "--gpus", "4", "TEST.SCALES", "(0.5, 1.0)"]
    words = plan(tmp_path, "--background", "c.yaml", "w.pth", 0, "--available", "--save-predictions", "my dir")
    assert words == [*start, "--background", "--available", "--save-predictions", "my dir"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "CONFIG and WEIGHTS are needed"),
        (["c.yaml"], "CONFIG and WEIGHTS are needed"),
        (["c.yaml", "w.pth", "--fast"], "there is no option --fast"),
        (["c.yaml", "w.pth", "--save-predictions"], "--save-predictions needs a folder"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, arguments, message):
    done = call("--dry-run", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith("evaluate.sh: ") and message in done.stderr and done.stderr.count("\n") == 1


def test_help(tmp_path):
    done = call("--help", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("usage: scripts/evaluate.sh")


@pytest.fixture
def weights(tiny_config_file, tmp_path):
    """A random checkpoint of the tiny model."""
    torch.manual_seed(1)
    model = errseg.build_model(load_config(str(tiny_config_file)))
    torch.save({"model": model.state_dict()}, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


@pytest.fixture
def copies(tiny_config_file, tmp_path, monkeypatch):
    """Raw copies of all data sets, and their labels as they must become, by path; prepared by the scripts."""
    root, expected = tmp_path / "copies", {}
    for write in WRITERS.values():
        expected |= write(root)
    for script in sorted(ROOT.glob("datasets/prepare_*.py")):
        monkeypatch.setattr(sys, "argv", [str(script), str(root), "--workers", "1"])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(script), run_name="__main__")
        assert end.value.code == 0
    monkeypatch.setenv("DETECTRON2_DATASETS", str(root))
    register_all()
    return root, expected  # tiny_config_file registers the real ones again


def mean_iou(predictions, labels, classes, ignore):
    """From the definition, in percent."""
    ious = []
    for i in range(classes):
        truth = [label == i for label in labels]
        found = [(ids == i) & (label != ignore) for ids, label in zip(predictions, labels, strict=True)]
        if any(mask.any() for mask in truth):
            both = sum((a & b).sum() for a, b in zip(truth, found, strict=True))
            ious.append(both / sum((a | b).sum() for a, b in zip(truth, found, strict=True)))
    return 100 * float(np.mean(ious))


def test_all_six_evaluate_in_one_command_from_raw_copies(copies, weights, tiny_config_file, tmp_path, command):
    root, expected = copies
    output, saved = tmp_path / "evaluated", tmp_path / "saved"
    options = ["--background", "--save-predictions", saved, tiny_config_file, weights]
    keys = ["MODEL.CRM.NUM_CLASSES_TEST", 0, "OUTPUT_DIR", output]
    done = call(*options, *keys, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    log = (output / "log.txt").read_text()
    assert log.count("Weights of ERRSeg:") == 2  # built once, loaded once
    header = next(line for line in log.splitlines() if line.startswith("|") and "A-847" in line)
    assert [cell.strip() for cell in header.strip("|").split("|")] == ["", *(paper_name for _, paper_name, *_ in SETS)]
    results = json.loads((output / "evaluation.json").read_text())["results"]
    assert list(results) == [name for name, *_ in SETS]
    for name, paper_name, num_classes_test, classes, ignore, folder in SETS:
        result = results[name]
        labels = {Path(path).stem: label for path, label in expected.items() if path.startswith(folder)}
        files = {path.stem: np.asarray(Image.open(path)) for path in (saved / name).iterdir()}
        assert result["paper_name"] == paper_name and result["num_classes_test"] == num_classes_test
        assert files.keys() == labels.keys() and result["images"] == len(labels) > 0
        wanted = mean_iou([files[stem] for stem in labels], list(labels.values()), classes, ignore)
        assert result["mIoU"] == pytest.approx(wanted, rel=1e-12) and wanted > 0
        assert (output / f"evaluation/{paper_name}.csv").is_file()

    # The same in this process, and COCO-Stuff
    cfg = load_config(str(tiny_config_file), ["MODEL.CRM.NUM_CLASSES_TEST", "0", "OUTPUT_DIR", str(tmp_path / "again")])
    model = errseg.build_model(cfg)
    model.load_state_dict(torch.load(weights, weights_only=True)["model"])
    again = evaluate(cfg, model, [*results, "coco_2017_test_stuff_all_sem_seg"])
    coco = again.pop("coco_2017_test_stuff_all_sem_seg")
    assert again == results and coco["images"] == 2 and coco["mIoU"] >= 0

    shutil.rmtree(root / "ADEChallengeData2016/annotations_detectron2")
    shutil.rmtree(root / "ADE20K_2021_17_01/annotations_detectron2")
    status, _, errors = command("evaluate", "--config", tiny_config_file, "--weights", weights)
    assert status == 2
    missing = "ade20k_full_sem_seg_freq_val_all, ade20k_150_test_sem_seg"
    assert f"2 of the 5 data sets of DATASETS.TEST are missing: {missing}; prepare them" in errors
    assert "--available" in errors and errors.count("\n") == 1
