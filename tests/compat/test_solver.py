"""Learning rate schedules."""

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.solver import build_lr_scheduler
from torch import nn


def rates(**solver):
    cfg = get_cfg()
    defaults = {"MAX_ITER": 10, "WARMUP_ITERS": 4, "BASE_LR": 1e-3, "STEPS": (6, 8)}
    for key, value in {**defaults, **solver}.items():
        cfg.SOLVER[key] = value
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=cfg.SOLVER.BASE_LR)
    scheduler = build_lr_scheduler(cfg, optimizer)
    values = []
    for _ in range(11):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step() if len(values) < 11 else None
    return values, scheduler


def test_cosine_schedule():
    values, scheduler = rates(LR_SCHEDULER_NAME="WarmupCosineLR", BASE_LR_END=1e-5)
    end = 0.01
    curve = [1e-3 * (end + (1 - end) * (1 + np.cos(np.pi * i / 10)) / 2) for i in range(11)]
    warmup = [1e-6 + (curve[4] - 1e-6) * i / 4 for i in range(4)]
    assert np.allclose(values, warmup + curve[4:], rtol=1e-9)
    assert scheduler.state_dict() == {"base_lrs": [1e-3], "last_epoch": 10}


def test_other_schedules():
    steps, _ = rates(LR_SCHEDULER_NAME="WarmupMultiStepLR", WARMUP_METHOD="constant")
    assert np.allclose(steps, [1e-6] * 4 + [1e-3] * 2 + [1e-4] * 2 + [1e-5] * 3)
    rescaled, _ = rates(LR_SCHEDULER_NAME="WarmupCosineLR", RESCALE_INTERVAL=True)
    assert np.isclose(rescaled[4], 1e-3) and np.isclose(rescaled[7], 5e-4)
    with pytest.raises(ValueError, match="Nothing"):
        rates(LR_SCHEDULER_NAME="Nothing")
