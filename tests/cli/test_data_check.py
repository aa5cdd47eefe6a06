"""errseg data check: the table, the sentences, the exit status, the files."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from detectron2.data import DatasetCatalog
from PIL import Image

from errseg.data import BENCHMARKS, register_all
from errseg.mini import register_mini
from tests.data import raw_copies

TRAIN, TEST = "coco_2017_train_stuff_all_sem_seg", "coco_2017_test_stuff_all_sem_seg"


@pytest.fixture
def check(command):
    """``check(argument, …)``: the exit status, what is printed and what goes to standard error."""

    def run(*arguments):
        return command("data", "check", *arguments, "--workers", "1")

    yield run
    register_all()
    register_mini()


@pytest.fixture
def yaml_file(tiny_datasets):
    """The tiny COCO-Stuff as a data-set file, of which no number of images is known."""
    path = tiny_datasets / "mine.yaml"
    path.write_text(
        "images: coco-stuff/images/val2017\nlabels: coco-stuff/annotations_detectron2/val2017\n"
        "names: [person, 'bicycle, bike', car, motorcycle, bike]\n"
    )
    return path


def test_every_set_that_is_there(check, tiny_datasets):
    status, out, err = check()
    table = out.split("\n\n")[0]
    assert status == 1 and err == ""
    assert [line.split()[0] for line in table.splitlines()[2:]] == [
        *(TRAIN, TEST, "coco_2017_train_stuff_156_sem_seg", "coco_2017_test_stuff_156_sem_seg")
    ]
    header, row = table.splitlines()[0].split(), table.splitlines()[3].split()
    assert header[:5] == ["set", "images", "expected", "names", "seen"] and row[:5] == [TEST, "6", "5000", "171", "5"]
    assert "0 to 4" in table and "8.3 %" in table
    assert f"{TEST}: There are 6 labels, too few: the whole set has 5000; prepare it again." in out
    assert f"{TRAIN}: There are 6 labels, too few: the whole set has 118287" in out
    assert "Not there: ade20k_full_sem_seg_freq_val_all" in out and "mini_train_sem_seg" in out.split("Not there")[1]


def test_a_sound_data_set_file(check, yaml_file, tmp_path):
    status, out, _ = check(yaml_file, "--json", tmp_path / "report/check.json")
    assert status == 0 and "Problems" not in out and "Not there" not in out
    report = json.loads((tmp_path / "report/check.json").read_text())[str(yaml_file)]
    assert report["images"] == 6 and report["expected"] is None and report["problems"] == [] and report["seen"] == 5
    assert report["checksum"][:16] in out and sum(report["pixels"]) + report["ignored"] == 6 * 48 * 64


@pytest.mark.parametrize("what", ["label", "image", "size", "id"])
def test_what_changes_a_score_changes_the_exit_status(check, yaml_file, tiny_datasets, what):
    label = tiny_datasets / "coco-stuff/annotations_detectron2/val2017/3.png"
    if what == "label":
        label.write_bytes(b"")
    elif what == "image":
        (tiny_datasets / "coco-stuff/images/val2017/3.jpg").unlink()
    elif what == "size":
        Image.fromarray(np.zeros((9, 9), np.uint8)).save(label)
    else:
        Image.fromarray(np.full((48, 64), 5, np.uint8)).save(label)
    status, out, _ = check(yaml_file)
    problems = out.partition("\nProblems\n")[2].splitlines()
    assert status == 1 and len(problems) == 1 and "/3." in problems[0]


def test_duplicate_first_synonyms_are_reported_and_do_not_fail(check, yaml_file):
    text = yaml_file.read_text().replace("bike]", '"car, auto"]')
    yaml_file.write_text(text)
    status, out, _ = check(yaml_file)
    assert status == 0 and "1 of the 5 names" in out and "car (2, 4)" in out


def test_what_errseg_prepares_lacks_nothing_but_images(check, command, tmp_path):
    """All six data sets, a few images each, prepared from copies of the published layouts."""
    for name, write in raw_copies.WRITERS.items():
        write(tmp_path)
        assert command("data", "prepare", name, tmp_path, "--workers", "1")[0] == 0
    status, out, _ = check("--root", tmp_path, "--json", tmp_path / "check.json")
    reports = json.loads((tmp_path / "check.json").read_text())
    others = {"ade20k_150_test_detectron2_names_sem_seg", "context_459_test_blanks_sem_seg"}  # the same labels
    rows = [row.name for row in BENCHMARKS if not row.trained_on and row.name not in others]
    assert status == 1 and list(reports) == rows
    for name, report in reports.items():
        assert report["problems"] == [
            f"There are {report['images']} labels, too few: the whole set has {report['expected']}; prepare it again."
        ]
        sixteen = name in ("ade20k_full_sem_seg_freq_val_all", "context_459_test_sem_seg")
        assert list(report["bits"]) == ["16" if sixteen else "8"]
    assert "10 of the 847 names" in out and "Not there: mini_train_sem_seg" in out


def test_another_root_and_a_set_asked_for_that_is_not_there(check, tiny_datasets, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tiny_datasets / "coco-stuff", other / "coco-stuff")
    (other / "coco-stuff/images/train2017/0.jpg").unlink()
    status, out, _ = check("--root", other, TRAIN, "ade20k_150_test_sem_seg")
    assert status == 1 and f"{TRAIN}: The data set {TRAIN} lacks the image of 1 of its labels" in out
    missing = f"ade20k_150_test_sem_seg: The data set ade20k_150_test_sem_seg is missing: there is no directory {other}"
    assert missing in out and "DATASETS.TEST" not in out


def test_samples(check, yaml_file, tmp_path):
    status, out, _ = check(yaml_file, TEST, "--samples", 2, "--out", tmp_path / "sheets")
    for name in ("mine", TEST):
        with Image.open(tmp_path / f"sheets/{name}.png") as sheet:
            assert sheet.width > 800 and sheet.height > 400
        assert f"Samples: {tmp_path / f'sheets/{name}.png'}" in out
    assert sorted(os.listdir(tmp_path / "sheets")) == [f"{TEST}.png", "mine.png"]


@pytest.mark.parametrize(
    ("names", "message"),
    [(["ade"], "'ade' is not registered; there are"), (["gone.yaml"], "gone.yaml does not exist")],
)
def test_what_is_not_known_is_refused(check, tiny_datasets, names, message):
    status, out, err = check(*names)
    assert status == 2 and out == "" and err.startswith("errseg data check: ") and message in err


def test_a_set_that_is_not_ours_is_refused(check, tiny_datasets):
    DatasetCatalog.register("foreign", list)
    try:
        status, _, err = check("foreign")
    finally:
        DatasetCatalog.remove("foreign")
    assert status == 2 and "foreign is not one of errseg's data sets" in err


def test_a_set_asked_for_twice_is_checked_once(check, yaml_file):
    status, out, _ = check(yaml_file, yaml_file)
    assert status == 0 and out.count(str(yaml_file)) == 1


@pytest.mark.parametrize("option", ["--json", "--out"])
def test_what_cannot_be_written_is_named(check, yaml_file, tmp_path, option):
    path = tmp_path / "taken"
    path.mkdir() if option == "--json" else path.touch()
    status, _, err = check(yaml_file, "--samples", "1", option, path)
    assert status == 2 and str(path) in err and "correct --out or --json" in err and err.count("\n") == 1


def test_nothing_there(check, tmp_path):
    status, _, err = check("--root", tmp_path)
    assert status == 2 and "None of the registered sets is on disk" in err and str(tmp_path) in err


def test_command(yaml_file):
    """As a user runs it: in a process of its own, with two workers."""
    command = [sys.executable, "-m", "errseg", "data", "check", yaml_file, "--workers", "2"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    assert str(yaml_file) in run.stdout and run.stderr == ""
