"""Optimisers and learning rate schedules from a configuration."""

from .build import build_lr_scheduler, build_optimizer
from .lr_scheduler import LRMultiplier, WarmupParamScheduler

__all__ = ["LRMultiplier", "WarmupParamScheduler", "build_lr_scheduler", "build_optimizer"]
