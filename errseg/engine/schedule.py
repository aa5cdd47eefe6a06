"""Learning rate schedules: Detectron2's, and the polynomial one of its DeepLab project, which it does not install."""

import torch
from detectron2.config import CfgNode
from detectron2.solver import LRMultiplier
from detectron2.solver import build_lr_scheduler as build_detectron2_scheduler
from fvcore.common.param_scheduler import ParamScheduler

from errseg.errors import UsageError

__all__ = ["Polynomial", "build_lr_scheduler"]

POLYNOMIAL = "WarmupPolyLR"
METHODS = ("linear", "constant")


class Polynomial(ParamScheduler):
    """``(1 - i / max_iter) ** power`` at iteration i, times a warm-up factor, and never below ``constant_ending``.

    The warm-up factor multiplies the polynomial, as in Detectron2's DeepLab project. In a linear warm-up it rises from
    ``warmup_factor`` to 1; in a constant one it is ``warmup_factor``. ``constant_ending`` applies after the warm-up.

    Args:
        max_iter: the number of iterations, at least 1.
        power: the exponent.
        constant_ending: the lowest multiplier after the warm-up.
        warmup_iters: the length of the warm-up; 0 for none.
        warmup_factor: the factor at iteration 0.
        is_linear: whether the warm-up is linear, not constant.
    """

    def __init__(
        self,
        max_iter: int,
        power: float = 0.9,
        constant_ending: float = 0.0,
        warmup_iters: int = 0,
        warmup_factor: float = 1.0,
        is_linear: bool = True,
    ):
        self.max_iter = max_iter
        self.power = power
        self.constant_ending = constant_ending
        self.warmup_iters = warmup_iters
        self.warmup_factor = warmup_factor
        self.is_linear = is_linear

    def __call__(self, where: float) -> float:
        """The multiplier of the learning rate at the share ``where`` of the iterations, 0 to 1."""
        iteration = round(where * self.max_iter)
        multiplier = max(1 - iteration / self.max_iter, 0.0) ** self.power
        if iteration >= self.warmup_iters:
            return max(multiplier, self.constant_ending)
        share = iteration / self.warmup_iters if self.is_linear else 0.0
        return multiplier * (self.warmup_factor * (1 - share) + share)


def build_lr_scheduler(cfg: CfgNode, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    """The schedule that SOLVER.LR_SCHEDULER_NAME names, with the warm-up of SOLVER.WARMUP_*.

    Raises:
        UsageError: there is no such schedule or warm-up; there is no iteration; SOLVER.RESCALE_INTERVAL is set for
            WarmupPolyLR.
    """
    solver = cfg.SOLVER
    if solver.MAX_ITER < 1:
        raise UsageError(f"SOLVER.MAX_ITER is {solver.MAX_ITER}; give 1 or more.")
    if solver.WARMUP_METHOD not in METHODS:
        raise UsageError(f"SOLVER.WARMUP_METHOD is {solver.WARMUP_METHOD!r}; choose {' or '.join(METHODS)}.")
    if solver.LR_SCHEDULER_NAME != POLYNOMIAL:
        try:
            return build_detectron2_scheduler(cfg, optimizer)
        except ValueError as error:
            raise UsageError(
                f"SOLVER.LR_SCHEDULER_NAME is {solver.LR_SCHEDULER_NAME!r}, and no schedule could be made ({error}); "
                f"choose WarmupCosineLR, WarmupMultiStepLR or {POLYNOMIAL}."
            ) from error
    if solver.RESCALE_INTERVAL:
        raise UsageError(
            f"SOLVER.RESCALE_INTERVAL is True, but {POLYNOMIAL} multiplies its warm-up with the schedule; set it to "
            "False, or choose WarmupCosineLR."
        )
    multiplier = Polynomial(
        solver.MAX_ITER,
        solver.POLY_LR_POWER,
        solver.POLY_LR_CONSTANT_ENDING,
        solver.WARMUP_ITERS,
        solver.WARMUP_FACTOR,
        solver.WARMUP_METHOD == "linear",
    )
    return LRMultiplier(optimizer, multiplier, solver.MAX_ITER)
