"""Learning rate schedules against their closed forms, in the trainer's hands and after a resume."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from errseg.config import load_config
from errseg.engine import Trainer
from errseg.engine.schedule import build_lr_scheduler
from errseg.errors import UsageError

BASE_LR, MAX_ITER = 1e-3, 20


def solver_of(cfg, **solver):
    for key, value in {"MAX_ITER": MAX_ITER, "BASE_LR": BASE_LR, "WARMUP_ITERS": 0, **solver}.items():
        cfg.SOLVER[key] = value
    return cfg


def rates(cfg, **solver):
    """The learning rates of the iterations, and after the last, of two groups."""
    cfg = solver_of(cfg, **solver)
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": cfg.SOLVER.BASE_LR * factor} for factor in (1, 0.1)]
    optimizer = torch.optim.SGD(groups)
    scheduler = build_lr_scheduler(cfg, optimizer)
    values = []
    for i in range(cfg.SOLVER.MAX_ITER + 1):
        values.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step() if i < cfg.SOLVER.MAX_ITER else None
    values = np.array(values)
    np.testing.assert_allclose(values[:, 1], 0.1 * values[:, 0], rtol=1e-12)
    return values[:, 0]


def polynomial(power, iterations=MAX_ITER):
    return BASE_LR * (1 - np.arange(iterations + 1) / iterations) ** power


@pytest.mark.parametrize("power", (0.9, 2.0))
def test_the_polynomial_schedule(tiny_cfg, power):
    np.testing.assert_allclose(
        rates(tiny_cfg, LR_SCHEDULER_NAME="WarmupPolyLR", POLY_LR_POWER=power), polynomial(power), rtol=1e-12
    )


def test_the_polynomial_schedule_of_many_iterations_counts_each(tiny_cfg):
    values = rates(tiny_cfg, LR_SCHEDULER_NAME="WarmupPolyLR", MAX_ITER=997)
    np.testing.assert_allclose(values, polynomial(0.9, 997), rtol=1e-12)


@pytest.mark.parametrize("method", ("linear", "constant"))
def test_the_warm_up_multiplies_the_polynomial(tiny_cfg, method):
    warmup = {"WARMUP_METHOD": method, "WARMUP_ITERS": 4, "WARMUP_FACTOR": 0.2}
    values = rates(tiny_cfg, LR_SCHEDULER_NAME="WarmupPolyLR", **warmup)
    factors = np.ones(MAX_ITER + 1)
    factors[:4] = 0.2 if method == "constant" else [0.2, 0.4, 0.6, 0.8]
    np.testing.assert_allclose(values, factors * polynomial(0.9), rtol=1e-12)


def test_the_polynomial_ends_on_a_constant(tiny_cfg):
    values = rates(tiny_cfg, LR_SCHEDULER_NAME="WarmupPolyLR", POLY_LR_CONSTANT_ENDING=0.25)
    np.testing.assert_allclose(values, np.maximum(polynomial(0.9), 0.25 * BASE_LR), rtol=1e-12)
    assert values[-1] == 0.25 * BASE_LR


def test_the_cosine_schedule_after_a_constant_warm_up(tiny_cfg):
    warmup = {"WARMUP_METHOD": "constant", "WARMUP_ITERS": 5, "WARMUP_FACTOR": 0.25}
    values = rates(tiny_cfg, LR_SCHEDULER_NAME="WarmupCosineLR", **warmup)
    cosine = BASE_LR * (1 + np.cos(np.pi * np.arange(MAX_ITER + 1) / MAX_ITER)) / 2
    np.testing.assert_allclose(values, np.where(np.arange(MAX_ITER + 1) < 5, 0.25 * BASE_LR, cosine), atol=1e-18)


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        ({"LR_SCHEDULER_NAME": "Nothing"}, "SOLVER.LR_SCHEDULER_NAME is 'Nothing'.* or WarmupPolyLR"),
        ({"WARMUP_METHOD": "quadratic"}, "SOLVER.WARMUP_METHOD is 'quadratic'; choose linear or constant"),
        ({"LR_SCHEDULER_NAME": "WarmupPolyLR", "RESCALE_INTERVAL": True}, "SOLVER.RESCALE_INTERVAL is True"),
        ({"LR_SCHEDULER_NAME": "WarmupPolyLR", "MAX_ITER": 0}, "SOLVER.MAX_ITER is 0; give 1 or more"),
    ],
)
def test_a_schedule_that_does_not_exist_is_one_sentence(tiny_cfg, solver, message):
    with pytest.raises(UsageError, match=message):
        build_lr_scheduler(solver_of(tiny_cfg, **solver), torch.optim.SGD([nn.Parameter(torch.zeros(1))]))


def train(config_file, *changes, resume=False):
    """The learning rates of the iterations of a run."""
    polynomial = ["SOLVER.LR_SCHEDULER_NAME", "WarmupPolyLR", "SOLVER.WARMUP_ITERS", 0, "SOLVER.CHECKPOINT_PERIOD", 3]
    cfg = load_config(str(config_file), ["DATASETS.TEST", (), *polynomial, *changes])
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume)
    trainer.train()
    lines = open(f"{cfg.OUTPUT_DIR}/metrics.json").read().splitlines()
    return {record["iteration"]: (record["lr"], record["total_loss"]) for record in map(json.loads, lines)}


def test_a_resumed_run_follows_the_polynomial(tiny_config_file, tmp_path):
    whole = train(tiny_config_file)
    expected = 0.01 * (1 - np.arange(6) / 6) ** 0.9
    assert [rate for rate, _ in whole.values()] == pytest.approx(expected, rel=1e-9)
    (tmp_path / "output/last_checkpoint").write_text("model_0000002.pth")
    assert train(tiny_config_file, resume=True) == whole


def test_a_changed_power_takes_effect_on_a_resume(tiny_config_file, tmp_path, caplog):
    train(tiny_config_file)
    (tmp_path / "output/last_checkpoint").write_text("model_0000002.pth")
    records = train(tiny_config_file, "SOLVER.POLY_LR_POWER", 2.0, resume=True)
    assert "SOLVER.POLY_LR_POWER was 0.9, now 2.0: takes effect" in caplog.text
    assert records[5][0] == pytest.approx(0.01 * (1 / 6) ** 2)
