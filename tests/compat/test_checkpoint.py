"""Checkpoints: what is saved, what is loaded, and what is said about it."""

import pytest
import torch
from detectron2.checkpoint import Checkpointer, DetectionCheckpointer
from torch import nn


def make():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    return model, torch.optim.AdamW(model.parameters(), lr=0.1)


def step(model, optimizer):
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_save_and_resume(tmp_path):
    model, optimizer = make()
    step(model, optimizer)
    checkpointer = DetectionCheckpointer(model, str(tmp_path), optimizer=optimizer)
    assert isinstance(checkpointer, Checkpointer) and not checkpointer.has_checkpoint()
    checkpointer.save("first", iteration=4)
    assert (tmp_path / "last_checkpoint").read_text() == "first.pth"
    assert checkpointer.has_checkpoint() and checkpointer.get_checkpoint_file() == str(tmp_path / "first.pth")
    step(model, optimizer)

    other, other_optimizer = make()
    loaded = DetectionCheckpointer(other, str(tmp_path), optimizer=other_optimizer).resume_or_load("unused.pth")
    assert loaded["iteration"] == 4
    step(other, other_optimizer)  # the optimiser's state is there too
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_without_resume_only_the_model_is_loaded(tmp_path):
    model, optimizer = make()
    step(model, optimizer)
    checkpointer = DetectionCheckpointer(model, str(tmp_path), optimizer=optimizer)
    checkpointer.save("model")
    _, fresh_optimizer = other = make()
    DetectionCheckpointer(other[0], str(tmp_path), optimizer=fresh_optimizer).resume_or_load(
        str(tmp_path / "model.pth"), resume=False
    )
    assert torch.equal(other[0][0].weight, model[0].weight)
    assert fresh_optimizer.state_dict()["state"] == {}


def test_differences_are_said(tmp_path, log):
    model, _ = make()
    state = model.state_dict()
    state["0.weight"] = torch.zeros(3, 5)
    state["stranger.weight"] = torch.zeros(1)
    del state["1.bias"]
    torch.save({"model": state}, tmp_path / "odd.pth")
    before = model[1].bias.clone()
    DetectionCheckpointer(model).load(str(tmp_path / "odd.pth"))
    assert torch.equal(model[1].bias, before)
    plain = log.text.replace("\x1b[34m", "").replace("\x1b[35m", "").replace("\x1b[0m", "")
    assert "0.weight" in plain and "(3, 5)" in plain and "stranger" in plain and "1.bias" in plain


def test_bare_parameters_and_wrapped_models(tmp_path):
    model, _ = make()
    torch.save({f"module.{name}": value for name, value in model.state_dict().items()}, tmp_path / "bare.pth")
    other = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    DetectionCheckpointer(nn.DataParallel(other)).load(str(tmp_path / "bare.pth"))
    assert torch.equal(other[0].weight, model[0].weight)


def test_nothing_and_a_missing_file(tmp_path):
    checkpointer = DetectionCheckpointer(make()[0])
    assert checkpointer.load("") == {}
    with pytest.raises((AssertionError, FileNotFoundError, OSError), match="missing.pth"):
        checkpointer.load(str(tmp_path / "missing.pth"))


def test_saving_can_be_off(tmp_path):
    DetectionCheckpointer(make()[0], str(tmp_path), save_to_disk=False).save("model")
    assert list(tmp_path.iterdir()) == []
