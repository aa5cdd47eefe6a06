"""Wrappers around weights are taken off, and of several sets of weights the one that is taken is named."""

import pytest
import torch

from errseg.errors import UsageError
from errseg.weight_files import unwrap

WEIGHTS = {"backbone.a": torch.ones(2), "head.b": torch.zeros(1)}


def prefixed(prefix):
    return {f"{prefix}{name}": value for name, value in WEIGHTS.items()}


@pytest.mark.parametrize(
    "content",
    [
        {"model": WEIGHTS},
        WEIGHTS,
        {"state_dict": WEIGHTS, "epoch": 3},
        {"model_state_dict": WEIGHTS},
        {"net": WEIGHTS, "acc": 0.5},
        prefixed("module."),
        prefixed("_orig_mod.module."),
        {"model": prefixed("module._orig_mod.")},
        {"state_dict": {"model": WEIGHTS}},
        {"checkpoint": {"state_dict": prefixed("module.model.")}},
        {"state_dict": prefixed("model."), "callbacks": {}, "hyper_parameters": {"lr": 0.1}},
        {"n_averaged": torch.tensor(3), **prefixed("module.")},
        {"module": WEIGHTS, "optimizer": {"state": {0: {"exp_avg": torch.ones(1)}}}},
        {"anything": WEIGHTS, "epoch": 1},
        {"backbone._orig_mod.a": WEIGHTS["backbone.a"], "head._fsdp_wrapped_module.b": WEIGHTS["head.b"]},
        {"model": "convnext_base", "state_dict": WEIGHTS},
        {"ema": WEIGHTS, "step": 1},
    ],
)
def test_weights_are_found(content):
    assert unwrap(content, "x.pth")["model"] == WEIGHTS
    assert unwrap(content, "x.pth", expected=WEIGHTS)["model"] == WEIGHTS


def test_what_lies_beside_the_weights_is_kept():
    assert unwrap({"state_dict": WEIGHTS, "epoch": 3, "model_ema": WEIGHTS}, "x")["epoch"] == 3


def test_a_models_own_names_are_no_wrapper():
    own = prefixed("model.")
    assert unwrap({"model": own}, "x", expected=own)["model"] == own
    compiled = {"backbone._orig_mod.a": torch.ones(1)}
    assert unwrap({"model": compiled}, "x", expected=compiled)["model"] == compiled


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"model": WEIGHTS, "model_ema": {"x": torch.ones(1)}}, "'model' is taken, not model_ema"),
        ({**prefixed("model."), **{f"ema.{name}": torch.ones(1) for name in "xy"}}, "'model' is taken, not ema"),
        ({"state_dict": prefixed("module.")}, "under 'state_dict' / 'module'"),
        ({"ema": WEIGHTS}, "under 'ema'"),
    ],
)
def test_the_log_says_what_is_taken(content, said, caplog):
    with caplog.at_level("INFO"):
        assert unwrap(content, "x.pth")["model"] == WEIGHTS
    assert said in caplog.text and "x.pth" in caplog.text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"student": WEIGHTS, "teacher": WEIGHTS}, "'student' and 'teacher'"),
        (prefixed("student.") | prefixed("teacher."), "'student' and 'teacher'"),
        ({"encoder": WEIGHTS, "decoder": WEIGHTS}, "'encoder' and 'decoder'"),
        ({"model": WEIGHTS, "state_dict": WEIGHTS}, "'model' and 'state_dict'"),
        ({"model": None}, "'model' is of the type NoneType"),
        ({"model": [1]}, "'model' is of the type list"),
        ({"model": torch.ones(2)}, "'model' is of the type tensor"),
        ({"model": {}}, "no tensors"),
        ({}, "no tensors"),
        ([1], "holds a list"),
        (None, "holds a NoneType"),
        ({"model": {1: torch.ones(1)}}, "no string, '1'"),
        ({"model": WEIGHTS | {2: torch.ones(1)}}, "no string, '2'"),
        ({"model": WEIGHTS | {"c": None}}, "'c' is of the type NoneType"),
    ],
)
def test_what_cannot_be_chosen_or_is_no_state_dict_is_said(content, words):
    with pytest.raises(UsageError, match=f"x.pth.*{words}"):
        unwrap(content, "x.pth")
