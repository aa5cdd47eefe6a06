"""Training loops, their hooks, and the set-up of a run."""

from . import hooks
from .defaults import (
    DefaultTrainer,
    create_ddp_model,
    default_argument_parser,
    default_setup,
    default_writers,
)
from .launch import DEFAULT_TIMEOUT, launch
from .train_loop import AMPTrainer, HookBase, SimpleTrainer, TrainerBase

__all__ = [
    "hooks", "DefaultTrainer", "create_ddp_model", "default_argument_parser", "default_setup", "default_writers",
    "DEFAULT_TIMEOUT", "launch", "AMPTrainer", "HookBase", "SimpleTrainer", "TrainerBase",
]
