"""Optimiser, gradient clipping and schedule from ``cfg.SOLVER``."""

import logging
from typing import Any

import torch
from fvcore.common.param_scheduler import CosineParamScheduler, MultiStepParamScheduler, ParamScheduler
from torch import nn

from ..config import CfgNode
from .lr_scheduler import LRMultiplier, WarmupParamScheduler

_NORMS = (
    *(nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm),
    *(nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm),
)


def maybe_add_gradient_clipping(
    cfg: CfgNode, optimizer: type[torch.optim.Optimizer] | torch.optim.Optimizer
) -> type[torch.optim.Optimizer] | torch.optim.Optimizer:
    """Clip the gradient of each parameter before a step, where ``SOLVER.CLIP_GRADIENTS.ENABLED``.

    Args:
        cfg: ``CLIP_TYPE`` is ``value``, or ``norm`` (of each parameter, with ``NORM_TYPE``), at ``CLIP_VALUE``.
        optimizer: a class, of which a subclass is returned; or an object, which is changed and returned.
    """
    clip = cfg.SOLVER.CLIP_GRADIENTS
    if not clip.ENABLED:
        return optimizer
    if clip.CLIP_TYPE not in ("value", "norm"):
        raise ValueError(f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE '{clip.CLIP_TYPE}' is unknown: choose value or norm.")
    base = type(optimizer) if isinstance(optimizer, torch.optim.Optimizer) else optimizer
    by_norm, limit, norm_type = clip.CLIP_TYPE == "norm", clip.CLIP_VALUE, clip.NORM_TYPE

    def step(self: torch.optim.Optimizer, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                if by_norm:
                    nn.utils.clip_grad_norm_(parameter, limit, norm_type)
                else:
                    nn.utils.clip_grad_value_(parameter, limit)
        return base.step(self, closure)

    clipping = type(f"{base.__name__}WithGradientClip", (base,), {"step": step})
    if isinstance(optimizer, torch.optim.Optimizer):
        optimizer.__class__ = clipping
        return optimizer
    return clipping


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """SGD with the options of ``cfg.SOLVER``; normalisation layers and biases have a weight decay of their own."""
    solver = cfg.SOLVER
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    seen: set[nn.Parameter] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or parameter in seen:
                continue
            seen.add(parameter)
            rate, decay = solver.BASE_LR, solver.WEIGHT_DECAY
            if isinstance(module, _NORMS):
                decay = solver.WEIGHT_DECAY_NORM
            elif name == "bias":
                rate *= solver.BIAS_LR_FACTOR
                decay = decay if solver.WEIGHT_DECAY_BIAS is None else solver.WEIGHT_DECAY_BIAS
            groups.setdefault((rate, decay), []).append(parameter)
    return maybe_add_gradient_clipping(cfg, torch.optim.SGD)(
        [{"params": group, "lr": rate, "weight_decay": decay} for (rate, decay), group in groups.items()],
        lr=solver.BASE_LR,
        momentum=solver.MOMENTUM,
        nesterov=solver.NESTEROV,
    )


def build_lr_scheduler(cfg: CfgNode, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    """The schedule ``SOLVER.LR_SCHEDULER_NAME`` with the warm-up of ``cfg.SOLVER``."""
    solver = cfg.SOLVER
    scheduler = WarmupParamScheduler(
        _schedule(solver),
        solver.WARMUP_FACTOR,
        min(solver.WARMUP_ITERS / solver.MAX_ITER, 1.0),
        solver.WARMUP_METHOD,
        solver.RESCALE_INTERVAL,
    )
    return LRMultiplier(optimizer, multiplier=scheduler, max_iter=solver.MAX_ITER)


def _schedule(solver: CfgNode) -> ParamScheduler:
    name = solver.LR_SCHEDULER_NAME
    if name == "WarmupCosineLR":
        if solver.BASE_LR_END < 0.0:
            raise ValueError(f"SOLVER.BASE_LR_END is {solver.BASE_LR_END}: give a rate of at least 0.")
        return CosineParamScheduler(1.0, solver.BASE_LR_END / solver.BASE_LR)
    if name == "WarmupMultiStepLR":
        steps = [step for step in solver.STEPS if step <= solver.MAX_ITER]
        if len(steps) != len(solver.STEPS):
            logging.getLogger(__name__).warning("SOLVER.STEPS past SOLVER.MAX_ITER are ignored.")
        values = [solver.GAMMA**k for k in range(len(steps) + 1)]
        return MultiStepParamScheduler(values, num_updates=solver.MAX_ITER, milestones=steps)
    raise ValueError(f"SOLVER.LR_SCHEDULER_NAME '{name}' is unknown: choose WarmupCosineLR or WarmupMultiStepLR.")
