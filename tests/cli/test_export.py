"""errseg export: the words of its command line."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from errseg.export import FORMATS
from tests.conftest import TINY_SYSTEMS

DATA = Path(__file__).parents[1] / "data"
TINY = ["MODEL.CLIP.NAME", str(DATA / "tiny_clip.json"), "MODEL.CLIP.PRETRAINED", "", "MODEL.ESCF.DIM", "32"]
TINY += ["MODEL.ESCF.NUM_LAYERS", "1"]


@pytest.fixture
def call(command, tmp_path):
    """``call(option, ...)``: the exit status, and what it printed to stdout and stderr."""

    def run(*options, weights=("--config", "errseg_convnext_base"), opts=TINY):
        torch.manual_seed(0)
        return command("export", *weights, "--out", tmp_path / "out", *options, *opts)

    return run


@pytest.fixture
def played(monkeypatch):
    """The model plays its own file: what is in one is for the tests of errseg.export."""
    modules = []
    monkeypatch.setattr("errseg.export.exporting.trace", lambda module, _: modules.append(module))
    monkeypatch.setattr("errseg.export.exporting.write_program", lambda _, *to: (to[1] / FORMATS[to[0]]).touch())

    def run(*arrays):
        with torch.no_grad():
            return [each.numpy() for each in modules[-1](*map(torch.from_numpy, arrays))]

    for module in ("errseg.export.exporting", "errseg.export"):
        monkeypatch.setattr(f"{module}.runner_of", lambda *_: run)


def test_closed(call, tmp_path, played):
    options = ["--classes", 'cat, "sky, heaven", grass', "--resolution", "96", "--num-classes", "2"]
    code, out, err = call("--format", "torch_export", *options)
    assert code == 0, err
    assert "model.pt2" in out and "% of the pixels" in out and " MB" in out
    said = json.loads((tmp_path / "out/preprocessing.json").read_text())
    assert (said["resolution"], said["num_classes"], said["names"]) == (96, 2, 3)
    assert json.loads((tmp_path / "out/names.json").read_text()) == ["cat", "sky, heaven", "grass"]


def test_an_open_vocabulary_compared_on_pictures(call, tmp_path, played):
    """With a K that is larger than its example, which is a file of names."""
    (tmp_path / "photos").mkdir()
    for name, size in (("a", (96, 80)), ("b", (50, 70))):
        Image.effect_noise(size, 90).convert("RGB").save(tmp_path / f"photos/{name}.png")
    (tmp_path / "names.txt").write_text("cat\ngrass\n")
    options = ["--open-vocabulary", "--classes-file", tmp_path / "names.txt", "--resolution", "64"]
    options += ["--format", "torch_export", "--num-classes", "5"]
    code, out, err = call(*options, "--compare", tmp_path / "photos")
    assert code == 0, err
    assert out.splitlines()[-1].startswith("2 pictures: ") and "errseg itself " in out
    said = json.loads((tmp_path / "out/preprocessing.json").read_text())
    assert said["open_vocabulary"] and said["num_classes"] == 5 and said["names"] == 2
    (tmp_path / "clip.mp4").touch()
    assert "only videos" in call(*options, "--compare", str(tmp_path / "clip.mp4"))[2]
    (tmp_path / "photos/b.png").write_bytes(b"no picture")
    code, _, err = call(*options, "--compare", tmp_path / "photos")
    assert code == 2 and "b.png" in err and (tmp_path / "out/model.pt2").is_file()


def test_another_system(command, tmp_path, tiny_cfg, played):
    """DeOP keeps every name, so that K plays no part; the picture has the exported size, so that both say the same."""
    tiny_cfg.merge_from_list(["MODEL.META_ARCHITECTURE", "DeOP", *TINY_SYSTEMS["DeOP"], "INPUT.MIN_SIZE_TEST", 0])
    (tmp_path / "deop.yaml").write_text(tiny_cfg.dump())
    Image.effect_noise((80, 80), 90).convert("RGB").save(tmp_path / "a.png")
    options = ["--config", tmp_path / "deop.yaml", "--out", tmp_path / "out", "--classes", "cat, grass, sea"]
    options += ["--format", "torch_export", "--resolution", 80, "--compare", tmp_path / "a.png"]
    code, out, err = command("export", *options)
    assert code == 0, err
    assert out.splitlines()[-1].startswith("1 picture: 100.00 % of the pixels")
    said = json.loads((tmp_path / "out/preprocessing.json").read_text())
    assert said["num_classes"] is None and said["resolution"] == 80 and not said["open_vocabulary"]
    assert "keeps the aspect ratio" in said["difference_from_evaluation"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "no names are given"),
        (("--vocabulary", "ade"), "ade20k_150"),
        (("--open-vocabulary", "--num-classes", "0"), "--num-classes 0"),
        (("--classes", "cat", "--resolution", "20"), "RESOLUTION_TEST = 20"),
        (("--classes-file", "nowhere.txt"), "nowhere.txt"),
        (("--classes", "cat", "--precision", "float16"), "float16"),
        (("--classes", "cat", "--compare", "nowhere.jpg"), "nowhere.jpg"),
        (("--classes", "cat", "--size", "64,96", "--resolution", "64"), "both name a size; give one"),
        (("--classes", "cat", "--int8"), "--int8 needs --calibrate"),
        (("--classes", "cat", "--int8", "--calibrate", "nowhere.jpg"), "nowhere.jpg"),
    ],
)
def test_wrong_words_are_answered_in_a_sentence(call, tmp_path, options, message):
    code, _, err = call(*options)
    last = err.strip().splitlines()[-1]
    assert code == 2 and last.startswith("errseg export: ") and message in last
    assert not (tmp_path / "out").exists()


def test_no_model_is_named(call):
    code, _, err = call("--classes", "cat", weights=(), opts=())
    assert code == 2 and "--weights" in err
