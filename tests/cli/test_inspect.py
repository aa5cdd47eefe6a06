"""errseg inspect."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from errseg.errors import UsageError
from errseg.inspection import point
from tests.conftest import TINY_SYSTEMS

CLASSES = "cat, grass, 'sky', road, wall, tree, 日本"


@pytest.fixture
def files(build, tiny_cfg, picture, tmp_path):
    """A folder with a run's configuration and weights, and a picture that EXIF turns."""
    model = build("INPUT.MIN_SIZE_TEST", 0)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text(tiny_cfg.dump())
    torch.save({"model": model.state_dict()}, tmp_path / "run/model_final.pth")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture).save(tmp_path / "photo.jpg", exif=exif)
    return tmp_path


@pytest.fixture
def show(command, files):
    """``show(*options)``: exit status, output, errors of the command on the picture."""

    def call(*options, names=("--classes", CLASSES), image="photo.jpg"):
        model = ("--weights", files / "run", "--out", files / "out")
        return command("inspect", files / image, *model, *names, *options)

    return call


def test_some_figures_and_their_arrays(files, command):
    model = ("--weights", files / "run/model_final.pth", "--out", files / "o")
    options = ("--what", "crm,attention", "--num-classes", 3, "--format", "svg", "--arrays")
    status, out, errors = command("inspect", files / "photo.jpg", *model, "--classes", CLASSES, *options)
    assert status == 0, errors
    names = ["crm", "attention", "class_attention"]
    expected = [f"photo_{name}.{ending}" for ending in ("svg", "npz") for name in names]
    assert sorted(map(str, (files / "o").iterdir())) == sorted(out.split()) == sorted(
        str(files / "o" / name) for name in expected
    )  # fmt: skip


def test_everything_by_default(show, files):
    (files / "names.txt").write_text("cat\ngrass\nsky\n")
    status, out, err = show(
        "--point", "49,69", "--layer", "1", "--head", "2", names=("--classes-file", files / "names.txt")
    )
    assert status == 0 and not err  # 49,69 lies in the picture as EXIF turns it
    parts = ("cost", "crm", "attention", "class_attention", "guidance")
    assert out.split() == [str(files / f"out/photo_{part}.png") for part in parts]


def test_another_system(command, build, tiny_cfg, picture, tmp_path):
    keys = ["MODEL.META_ARCHITECTURE", "DeOP", *TINY_SYSTEMS["DeOP"], "INPUT.MIN_SIZE_TEST", 0]
    torch.save({"model": build(*keys).state_dict()}, tmp_path / "model_final.pth")
    (tmp_path / "config.yaml").write_text(tiny_cfg.dump())
    Image.fromarray(picture).save(tmp_path / "photo.png")
    options = ("inspect", tmp_path / "photo.png", "--weights", tmp_path / "model_final.pth", "--classes", CLASSES)
    status, out, err = command(*options, "--out", tmp_path / "out", "--point", "3,4")
    assert status == 0, err
    assert out.split() == [
        str(tmp_path / f"out/photo_{name}.png") for name in ("proposals", "heatmaps", "severance")
    ]  # fmt: skip
    status, _, err = command(*options, "--out", tmp_path / "out", "--what", "proposals,crm")
    assert status == 2 and "what = 'crm' cannot be shown; give some of proposals, heatmaps, severance." in err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--what", "cost,heat"), "'heat'"),
        (("--point", "50,10"), "50,10 is outside the picture of 50 x 70 pixels"),
        (("--point", "middle"), "'middle'"),
        (("--point", "1,2,3"), "'1,2,3'"),
        (("--show", "gras"), "did you mean 'grass'"),
        (("--layer", "7"), "1 to 2"),
        (("--head", "9"), "1 to 4"),
        (("--head", "first"), "'first'"),
        (("--format", "gif"), "'gif'"),
        (("--num-classes", "-1"), "-1"),
        (("--device", "quantum"), "quantum"),
    ],
)
def test_bad_options(options, sentence, show, files):
    status, out, err = show(*options)
    assert status == 2 and not out and err.startswith("errseg inspect: ") and err.count("\n") == 1
    assert sentence in err
    assert not (files / "out").exists()


def test_bad_files(show, files):
    (files / "broken.jpg").write_bytes(b"no picture")
    status, out, err = show(image="broken.jpg")
    assert (
        status == 1 and not out and err.startswith("errseg inspect: ") and "broken.jpg" in err and err.count("\n") == 1
    )
    assert show(image="missing.jpg")[0] == 2
    (files / "clip.mp4").touch()
    assert "only videos" in show(image="clip.mp4")[2]
    assert "ade20k_150" in show(names=("--vocabulary", "ade"))[2]


def test_several_pictures(show, files, picture):
    """Figures of each, no two of which share a name, and the means at the end; a broken picture stops nothing."""
    (files / "photos/more").mkdir(parents=True)
    for name in ("a", "a_class", "more/b"):
        Image.fromarray(picture).save(files / f"photos/{name}.png")
    (files / "photos/broken.jpg").write_bytes(b"no picture")
    for _ in range(2):  # the second time, figures lie there too
        status, out, err = show("--what", "attention", "--num-classes", "3", "--out", files / "photos", image="photos")
        assert status == 1 and "broken.jpg" in err and err.count("\n") == 1
        *paths, reach, inside = out.splitlines()
        figures = {f"{place}_{name}" for place in ("more/b",) for name in ("attention.png", "class_attention.png")}
        assert figures < {Path(path).relative_to(files / "photos").as_posix() for path in paths}
        assert len(set(paths)) == 6 and all(Path(path).is_file() for path in paths)
        assert reach.startswith("Mean of 3 pictures: SFM's attention reaches ") and " pixels with CRM and " in reach
        assert inside.startswith("Mean of 3 pictures: the names that win pixels give themselves and each other ")


def test_an_option_that_does_not_fit_names_the_picture(show, files, picture):
    (files / "photos").mkdir()
    for name, shape in (("a", picture), ("b", picture[:20])):
        Image.fromarray(shape).save(files / f"photos/{name}.png")
    status, out, err = show("--what", "attention", "--point", "10,40", image="photos")
    assert status == 2 and "b.png: point 10,40 is outside the picture of 70 x 20 pixels" in err
    assert len(out.splitlines()) == 2  # of the first


def test_click_without_a_display(show, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    status, _, err = show("--point", "click")
    assert status == 2 and "needs a display" in err


@pytest.mark.parametrize(("clicks", "expected"), [([(12.7, 3.2)], (12, 3)), ([(70.0, -0.4)], (69, 0)), ([], None)])
def test_click(clicks, expected, monkeypatch, picture):
    """The window is pyplot's; what it returns becomes a point."""
    figure = SimpleNamespace(ginput=lambda count, timeout: clicks)
    axes = SimpleNamespace(imshow=lambda *_, **__: None, set=lambda **_: None)
    pyplot = SimpleNamespace(subplots=lambda **_: (figure, axes), close=lambda _: None)
    monkeypatch.setattr(point, "_interactive_pyplot", lambda: pyplot)
    if expected is None:
        with pytest.raises(UsageError, match="closed without a click"):
            point.click_point(picture)
    else:
        assert point.click_point(np.asarray(picture)) == expected
