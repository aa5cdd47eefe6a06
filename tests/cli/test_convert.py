"""errseg convert: released names and ours, torch files and safetensors, there and back."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from errseg.checkpoint import from_official

TABLE = Path(__file__).parents[1] / "data/parity/official_state_dict_base.json"


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A file with the released base model's keys and shapes; each tensor repeats a number of its own."""
    shapes = json.loads(TABLE.read_text())
    weights = {key: torch.tensor(float(number)).expand(shapes[key]) for number, key in enumerate(shapes)}
    path = tmp_path_factory.mktemp("released") / "released.pth"
    torch.save(weights, path)
    return path


def test_there_and_back(released, command, tmp_path):
    ours, back = tmp_path / "ours.pth", tmp_path / "back.pth"
    status, out, err = command("convert", released, ours)
    assert status == 0 and "under errseg's names" in out, err
    original = torch.load(released, weights_only=True)
    assert torch.load(ours, weights_only=True)["model"].keys() == from_official(original).keys()
    assert command("convert", ours, back, "--to", "released")[0] == 0
    returned = torch.load(back, weights_only=True)["model"]
    assert returned.keys() == original.keys()
    assert all(value.equal(original[key]) and value.shape == original[key].shape for key, value in returned.items())


@pytest.mark.parametrize(
    ("content", "to", "sentence"),
    [
        ({"x": torch.zeros(1)}, "released", "its first key is x"),
        ({"backbone.clip.x": torch.zeros(1)}, "released", "Not a whole released ERR-Seg checkpoint"),
        ({"sem_seg_head.clip_model.x": torch.zeros(1)}, "ours", "Not a whole released ERR-Seg checkpoint"),
        (None, "ours", "no such file"),
    ],
)
def test_what_does_not_fit_is_one_sentence(command, tmp_path, content, to, sentence):
    if content:
        torch.save(content, tmp_path / "in.pth")
    status, out, err = command("convert", tmp_path / "in.pth", tmp_path / "out.pth", "--to", to)
    assert status == 2 and not out and sentence in err and "in.pth" in err and err.count("\n") == 1
    assert not (tmp_path / "out.pth").exists()


def test_our_checkpoint_loses_all_but_its_weights(command, tmp_path):
    weight = torch.arange(3.0)
    torch.save({"model": {"backbone.w": weight}, "iteration": 5}, tmp_path / "in.pth")
    out = tmp_path / "out.safetensors"
    assert command("convert", tmp_path / "in.pth", out)[0] == 0
    assert torch.equal(load_file(out)["backbone.w"], weight)
    status, _, err = command("convert", tmp_path / "in.pth", out)
    assert status == 2 and "exists already" in err
    assert command("convert", tmp_path / "in.pth", out, "--overwrite")[0] == 0
