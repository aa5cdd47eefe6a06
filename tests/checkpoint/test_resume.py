"""What a resume loads is checked whole, and nothing of a file with a fault is loaded."""

import copy
import re

import pytest
import torch
from torch import nn

from errseg.checkpoint import ERRSegCheckpointer, check_trainer
from errseg.errors import UsageError


def make(kind=torch.optim.AdamW, **options):
    """A model with an optimizer of two groups that has made a step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[1].parameters(), "lr": 0.2}]
    optimizer = kind(groups, lr=0.1, **options)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return model, optimizer


def trainer_state(optimizer):
    return {
        "iteration": 3,
        "hooks": {"LRScheduler": {"base_lrs": [0.1, 0.2], "last_epoch": 4}},
        "_trainer": {
            "iteration": 3,
            "optimizer": copy.deepcopy(optimizer.state_dict()),
            "grad_scaler": {"scale": 65536.0, "growth_factor": 2.0, "growth_interval": 2000, "_growth_tracker": 0},
        },
        "seed": 7,
    }


@pytest.fixture
def check():
    """``check(change)``: look at a trainer's state that ``change`` has changed."""

    def look(change, kind=torch.optim.AdamW, **options):
        _, optimizer = make(kind, **options)
        state = trainer_state(optimizer)
        change(state)
        check_trainer("x.pth", state, trainer_state(optimizer), optimizer)

    return look


def inner(state):
    return state["_trainer"]["optimizer"]


def put(*path, value):
    """A change that puts ``value`` at a place in the trainer's state; ``...`` stands for the optimizer."""

    def change(state):
        for key in path[:-1]:
            state = inner(state) if key is ... else state[key]
        state[path[-1]] = value

    return change


def drop(*path):
    def change(state):
        for key in path[:-1]:
            state = inner(state) if key is ... else state[key]
        del state[path[-1]]

    return change


def share(state):
    inner(state)["state"][0]["exp_avg_sq"] = inner(state)["state"][0]["exp_avg"]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (torch.optim.AdamW, {"fused": True}),
        (torch.optim.AdamW, {"amsgrad": True}),
        (torch.optim.SGD, {"momentum": 0.9}),
        (torch.optim.SGD, {}),
        (torch.optim.Adagrad, {}),
    ],
)
def test_what_a_run_saves_passes(check, kind, options):
    check(lambda state: None, kind, **options)


@pytest.mark.parametrize(
    "change",
    [
        put("_trainer", "optimizer", "param_groups", 0, "fused", value=None),  # of another implementation
        put(..., "state", value={}),  # no step has been made
        drop("_trainer", "grad_scaler"),  # of a run without mixed precision
        put("hooks", "SomebodysHook", value={"anything": [1]}),
        put(..., "state", 0, "step", value=1),  # as older versions of torch keep it
        put(..., "state", 0, "exp_avg", value=torch.ones(3, 2, dtype=torch.bfloat16)),
    ],
)
def test_harmless_differences_pass(check, change):
    check(change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            put(..., "state", 0, "exp_avg", value=torch.ones(5, 7)),
            "state[0].exp_avg has the shape (5, 7) in place of (3, 2)",
        ),
        (put(..., "state", 0, "exp_avg_sq", value=torch.ones(6)), "exp_avg_sq has the shape (6,)"),
        (put(..., "state", 0, "exp_avg", value=torch.ones(3, 2, dtype=torch.int8)), "is int8"),
        (put(..., "state", 0, "exp_avg", value=torch.full((3, 2), float("nan"))), "6 of 6 values that are NaN"),
        (put(..., "state", 0, "exp_avg_sq", value=-torch.ones(3, 2)), "exp_avg_sq has negative values"),
        (put(..., "state", 0, "exp_avg", value=torch.ones(1).expand(3, 2)), "shares its values"),
        (put(..., "state", 0, "exp_avg", value=[1.0]), "exp_avg is a list in place of a tensor"),
        (share, "exp_avg_sq shares its values with trainer._trainer.optimizer.state[0].exp_avg"),
        (put(..., "state", 0, "step", value=torch.ones(2)), "step has the shape (2,)"),
        (put(..., "state", 0, "step", value=torch.tensor(-1.0)), "step has negative values"),
        (put(..., "state", 0, "step", value="x"), "step is 'x'"),
        (put(..., "state", 0, "extra", value=1), "has 'extra'"),
        (drop(..., "state", 0, "exp_avg"), "state[0] has no 'exp_avg'"),
        (put(..., "state", 99, value={}), "state[99] belongs to none"),
        (put(..., "state", value=[1]), "optimizer.state is a list"),
        (drop(..., "state"), "optimizer has no 'state'"),
        (put(..., "param_groups", value={}), "param_groups must be 2 groups"),
        (put(..., "param_groups", value=[]), "param_groups must be 2 groups"),
        (put(..., "param_groups", 0, "params", value=[0]), "param_groups[0].params must be 2 numbers"),
        (put(..., "param_groups", 0, "params", value=[0, 0]), "the number 0 twice"),
        (put(..., "param_groups", 0, "params", value=["a", "b"]), "params is 'a'"),
        (put(..., "param_groups", 0, "lr", value="x"), "lr is 'x' in place of a number"),
        (put(..., "param_groups", 0, "lr", value=float("inf")), "lr is inf, which is out of range"),
        (put(..., "param_groups", 0, "lr", value=-1.0), "lr is -1.0"),
        (put(..., "param_groups", 0, "betas", value=(0.9,)), "betas is a tuple in place of 2 values"),
        (put(..., "param_groups", 0, "maximize", value=True), "maximize is True where this run has False"),
        (drop(..., "param_groups", 0, "eps"), "has no 'eps'"),
        (put("_trainer", "optimizer", value=None), "optimizer is None in place of a dictionary"),
        (drop("_trainer"), "trainer has no '_trainer'"),
        (drop("_trainer", "optimizer"), "trainer._trainer has no 'optimizer'"),
        (put("iteration", value="3"), "trainer.iteration is '3'"),
        (put("iteration", value=2.5), "trainer.iteration is 2.5"),
        (put("iteration", value=-1), "trainer.iteration is -1"),
        (put("iteration", value=True), "trainer.iteration is True"),
        (put("iteration", value=10**400), "trainer.iteration is 1000"),
        (put("iteration", value=torch.tensor(3)), "trainer.iteration is a tensor"),
        (drop("iteration"), "trainer has no 'iteration'"),
        (put("hooks", value=[1]), "trainer.hooks is a list"),
        (drop("hooks", "LRScheduler"), "trainer.hooks has no 'LRScheduler'"),
        (put("hooks", "LRScheduler", "base_lrs", value=[0.1]), "base_lrs is a list in place of 2 values"),
        (put("hooks", "LRScheduler", "last_epoch", value=None), "last_epoch is None"),
        (put("hooks", "LRScheduler", "last_epoch", value=10**400), "last_epoch is 1000"),
        (put("_trainer", "grad_scaler", "scale", value=0.0), "grad_scaler.scale is 0.0, not a positive number"),
        (put("_trainer", "grad_scaler", "scale", value=None), "grad_scaler.scale is None"),
        (drop("seed"), "trainer has no 'seed'"),
        (put("seed", value=-5), "trainer.seed is -5"),
    ],
)
def test_a_fault_of_a_trainers_state_is_named(check, change, words):
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        check(change)
    assert str(caught.value).startswith("x.pth cannot be resumed from: trainer")


def test_another_optimizers_state_is_refused():
    _, sgd = make(torch.optim.SGD, momentum=0.9)
    _, adam = make()
    with pytest.raises(UsageError, match="has no '(momentum|dampening)'.*another optimizer's"):
        check_trainer("x.pth", trainer_state(adam), trainer_state(sgd), sgd)
    with pytest.raises(UsageError, match="is a str in place|in place of a dictionary"):
        check_trainer("x.pth", "state", trainer_state(sgd), sgd)


def test_parameters_without_a_state_are_said(check, caplog):
    check(drop(..., "state", 0))
    assert "optimizer's state of 3 of 4 parameters" in caplog.text


# ---- through the checkpointer ----


def test_nothing_is_loaded_of_a_checkpoint_with_a_fault(tmp_path):
    model, optimizer = make()
    ERRSegCheckpointer(model, str(tmp_path), optimizer=optimizer).save("model_final", iteration=3)
    content = torch.load(tmp_path / "model_final.pth", weights_only=True)
    content["model"]["0.weight"] += 1
    content["optimizer"]["state"][3]["exp_avg"] = torch.ones(9)
    torch.save(content, tmp_path / "model_final.pth")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    checkpointer = ERRSegCheckpointer(model, str(tmp_path), optimizer=optimizer)
    with pytest.raises(UsageError, match=r"model_final.pth cannot be resumed.*state\[3\].exp_avg has the shape \(9,\)"):
        checkpointer.resume_or_load("", resume=True)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_weights_alone_are_no_checkpoint_to_resume_from(tmp_path):
    model, optimizer = make()
    ERRSegCheckpointer(model, str(tmp_path)).save("model_final", iteration=3)
    checkpointer = ERRSegCheckpointer(model, str(tmp_path), optimizer=optimizer)
    with pytest.raises(UsageError, match="model_final.pth has no 'optimizer'.*MODEL.WEIGHTS"):
        checkpointer.resume_or_load("", resume=True)
    path = str(tmp_path / "model_final.pth")
    assert checkpointer.resume_or_load(path, resume=False) == checkpointer.load(path) == {"iteration": 3}
