"""errseg render: overlays from files alone, what it skips, what it cannot use."""

import os

import numpy as np
import pytest
from PIL import Image

import errseg
from errseg.colors import color_of
from errseg.evaluation import evaluate
from tests.evaluation.oracle import LabelOracle, write_set

SIZE = (40, 60)


@pytest.fixture
def saved(tmp_path):
    """Predictions of three images: left half class 0, right half class 1."""
    cfg = errseg.get_cfg()
    cfg.merge_from_list(["OUTPUT_DIR", str(tmp_path / "output"), "INPUT.MIN_SIZE_TEST", 0, "DATALOADER.NUM_WORKERS", 0])
    prediction = np.zeros(SIZE, np.uint8)
    prediction[:, SIZE[1] // 2 :] = 1
    settings = {"classes": ["grass", "sky"], "label_map": {1: 0, 2: 1, 255: 255}}
    write_set(tmp_path, "halves", [prediction] * 3, [prediction + 1] * 3, **settings)
    evaluate(cfg, LabelOracle(), ["halves"], save_predictions=tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def render(command):
    """``render(*arguments)``: exit status, output, errors."""

    def call(*arguments):
        return command("render", *arguments, "--workers", "1")

    return call


def test_overlays_show_the_predicted_names(saved, render):
    status, out, err = render(saved, "--dataset", "halves")
    assert status == 0 and not err and "3 overlays written, 0 existed; 0 images have no prediction" in out
    picture = np.asarray(Image.open(saved / "overlays/halves/1.jpg")).astype(int)
    assert picture.shape[1] > SIZE[1] + 100  # the names beside it
    for name, column in (("grass", 10), ("sky", 50)):
        hue = np.subtract(color_of(name), np.mean(color_of(name)))
        found = picture[20, column] - picture[20, column].mean()
        assert np.dot(hue, found) > 0.9 * np.linalg.norm(hue) * np.linalg.norm(found)


def test_it_goes_on_where_it_was(saved, render, tmp_path):
    out_folder = tmp_path / "pictures"
    render(saved, "--dataset", "halves", "--out", out_folder)
    (out_folder / "halves/0.jpg").unlink()
    changed = saved / "halves/2.png"
    Image.fromarray(np.full(SIZE, 2, np.uint8)).save(changed)
    os.utime(changed, ns=(2**62, 2**62))
    before = (out_folder / "halves/1.jpg").stat().st_mtime_ns
    status, out, _ = render(saved, "--dataset", "halves", "--out", out_folder)
    assert status == 0 and "2 overlays written, 1 existed" in out
    assert (out_folder / "halves/1.jpg").stat().st_mtime_ns == before


def test_files_that_cannot_be_used_are_named_at_the_end(saved, render):
    (saved / "halves/0.png").write_bytes(b"nothing")
    Image.new("L", (2, 2), 1).save(saved / "halves/1.png")
    status, out, err = render(saved, "--dataset", "halves")
    assert status == 1 and "1 overlays written" in out and "2 files could not be used" in out
    assert len(err.splitlines()) == 2 and "0.png cannot be read" in err and "must agree" in err
    (saved / "halves/0.png").unlink()
    (saved / "halves/1.png").unlink()
    status, out, _ = render(saved, "--dataset", "halves")
    assert status == 0 and "0 overlays written, 1 existed; 2 images have no prediction" in out


def test_mistakes_are_one_sentence(saved, render, tmp_path):
    for arguments, message in (
        ((tmp_path / "none", "--dataset", "halves"), "none has no manifest.json"),
        ((saved, "--dataset", "nothing"), "--dataset names 'nothing'"),
        ((saved, "--dataset", tmp_path / "no.yaml"), "no.yaml does not exist"),
    ):
        status, out, err = render(*arguments)
        assert status == 2 and not out and message in err and err.count("\n") == 1
    (tmp_path / "file").write_text("mine")
    status, out, err = render(saved, "--dataset", "halves", "--out", tmp_path / "file")
    assert status == 2 and not out and "cannot be written to" in err and err.count("\n") == 1
    empty = [np.zeros(SIZE, np.uint8)]
    write_set(tmp_path / "b", "quarters", empty, empty, classes=["grass"])
    status, _, err = render(saved, "--dataset", "quarters")
    assert status == 2 and "holds no predictions of quarters, only of halves" in err
    write_set(tmp_path / "c", "halves", empty, empty, classes=["grass", "hay"])
    status, _, err = render(saved, "--dataset", "halves")
    assert status == 2 and "other names or label ids" in err
