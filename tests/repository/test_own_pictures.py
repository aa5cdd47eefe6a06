"""Every way to use a model on one's own picture, on the mini world's model: the quickstart's where it is there.

Where the quickstart has not been run, its model has random weights: all works the same, and means nothing.
"""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import errseg
from errseg.engine import load_config
from errseg.mini.render import draw_scene
from errseg.web import Service
from errseg.web.view import view

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "output/mini/errseg"
OBJECTS = ["red plain ring", "blue striped square"]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """The folder of a run of the mini model."""
    if (QUICKSTART / "model_final.pth").is_file() and (QUICKSTART / "config.yaml").is_file():
        return QUICKSTART
    folder = tmp_path_factory.mktemp("run")
    cfg = load_config(str(ROOT / "configs/mini/errseg_mini.yaml"), ["MODEL.CLIP.PRETRAINED", "", "MODEL.DEVICE", "cpu"])
    torch.manual_seed(0)
    torch.save({"model": errseg.build_model(cfg).state_dict()}, folder / "model_final.pth")
    (folder / "config.yaml").write_text(cfg.dump())
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder elsewhere with a picture in it, and the names of what it shows."""
    folder = tmp_path_factory.mktemp("home")
    scene = draw_scene(OBJECTS, np.random.default_rng(5))
    Image.fromarray(scene.image).resize((240, 160)).save(folder / "scene.png")
    return folder, [str(name) for name in scene.names]


@pytest.fixture(scope="module")
def expected(run_folder, home):
    """The result from Python."""
    folder, names = home
    model = errseg.load(run_folder, device="cpu", verbose=False)
    model.set_vocabulary(names)
    return model(folder / "scene.png")


@pytest.fixture
def call(run_folder, home, command, monkeypatch):
    """``call(name, argument, ...)``: runs a command in ``home`` on the picture's names; returns what it printed."""

    def run(name, *arguments):
        monkeypatch.chdir(home[0])
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        names = ["--classes", ", ".join(home[1])]
        status, out, errors = command(name, *arguments, "--weights", run_folder, *names)
        assert status == 0, errors
        return out

    return run


def test_command_line(call, home, expected):
    assert home[1][0] in call("predict", "scene.png", "--out", "predicted")
    with Image.open(home[0] / "predicted/scene_labels.png") as labels:
        assert np.array_equal(labels, expected.labels)
    with Image.open(home[0] / "predicted/scene_overlay.png") as overlay:
        assert np.array_equal(overlay, expected.plot())


def test_web_page(run_folder, home, expected):
    service = Service(errseg.load(run_folder, device="cpu", verbose=False))
    result = service.segment(home[0] / "scene.png", home[1])
    assert np.array_equal(result.labels, expected.labels)
    assert [each["name"] for each in view(result, "scene")["classes"]] == [each.name for each in expected.classes]


def test_export(call, home, expected, monkeypatch, capsys):
    call("export", "--format", "torch_export", "--out", "exported")
    monkeypatch.setattr(sys, "argv", ["example.py", str(home[0] / "scene.png")])
    runpy.run_path(str(home[0] / "exported/example.py"), run_name="__main__")
    assert expected.classes[0].name in capsys.readouterr().out
    assert json.loads((home[0] / "exported/names.json").read_text()) == home[1]
    with Image.open(home[0] / "overlay.png") as overlay:
        assert overlay.size == (240, 160)


def test_figures(call, home):
    printed = call("inspect", "scene.png", "--what", "cost,crm,attention,guidance", "--out", "figures")
    figures = [Path(line) for line in printed.split()]
    parts = {"cost", "crm", "attention", "class_attention", "guidance"}
    assert {path.stem for path in figures} == {f"scene_{part}" for part in parts}
    for path in figures:
        with Image.open(home[0] / path) as figure:
            assert min(figure.size) > 200
