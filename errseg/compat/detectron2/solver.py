"""Learning rate schedules from a configuration: fvcore's, with a warm-up, as a torch scheduler."""

import logging
from typing import Any

import torch
from fvcore.common.param_scheduler import (
    CompositeParamScheduler,
    ConstantParamScheduler,
    CosineParamScheduler,
    LinearParamScheduler,
    MultiStepParamScheduler,
    ParamScheduler,
)

from .config import CfgNode
from .outside import outside

__getattr__ = outside(globals())

__all__ = ["LRMultiplier", "build_lr_scheduler"]


class LRMultiplier(torch.optim.lr_scheduler.LRScheduler):
    """Each group's initial learning rate times ``multiplier``, a function of progress in [0, 1]."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, multiplier: ParamScheduler, max_iter: int, last_iter: int = -1
    ) -> None:
        self._multiplier = multiplier
        self._max_iter = max_iter
        super().__init__(optimizer, last_epoch=last_iter)

    def state_dict(self) -> dict[str, Any]:
        # The schedule itself comes from the configuration, which may change between runs.
        return {"base_lrs": self.base_lrs, "last_epoch": self.last_epoch}

    def get_lr(self) -> list[float]:
        factor = self._multiplier(self.last_epoch / self._max_iter)
        return [base_lr * factor for base_lr in self.base_lrs]


def build_lr_scheduler(cfg: CfgNode, optimizer: torch.optim.Optimizer) -> LRMultiplier:
    """The schedule ``SOLVER.LR_SCHEDULER_NAME`` with the warm-up of ``cfg.SOLVER``."""
    solver = cfg.SOLVER
    schedule = _schedule(solver)
    warmup_length = min(solver.WARMUP_ITERS / solver.MAX_ITER, 1.0)
    # The schedule starts after the warm-up (RESCALE_INTERVAL), or the warm-up replaces its beginning.
    start, end = solver.WARMUP_FACTOR * schedule(0.0), schedule(0.0 if solver.RESCALE_INTERVAL else warmup_length)
    if solver.WARMUP_METHOD not in ("linear", "constant"):
        raise ValueError(f"SOLVER.WARMUP_METHOD '{solver.WARMUP_METHOD}' is unknown: choose linear or constant.")
    linear = solver.WARMUP_METHOD == "linear"
    with_warmup = CompositeParamScheduler(
        [LinearParamScheduler(start, end) if linear else ConstantParamScheduler(start), schedule],
        lengths=[warmup_length, 1 - warmup_length],
        interval_scaling=["rescaled", "rescaled" if solver.RESCALE_INTERVAL else "fixed"],
    )
    return LRMultiplier(optimizer, with_warmup, solver.MAX_ITER)


def _schedule(solver: CfgNode) -> ParamScheduler:
    name = solver.LR_SCHEDULER_NAME
    if name == "WarmupCosineLR":
        return CosineParamScheduler(1.0, solver.BASE_LR_END / solver.BASE_LR)
    if name == "WarmupMultiStepLR":
        steps = [step for step in solver.STEPS if step <= solver.MAX_ITER]
        if len(steps) != len(solver.STEPS):
            logging.getLogger(__name__).warning("SOLVER.STEPS past SOLVER.MAX_ITER are ignored.")
        values = [solver.GAMMA**k for k in range(len(steps) + 1)]
        return MultiStepParamScheduler(values, num_updates=solver.MAX_ITER, milestones=steps)
    raise ValueError(f"SOLVER.LR_SCHEDULER_NAME '{name}' is unknown: choose WarmupCosineLR or WarmupMultiStepLR.")
