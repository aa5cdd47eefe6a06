"""Training loops, their hooks, and the set-up of a run."""

from ..outside import outside
from . import hooks
from .defaults import DefaultTrainer, create_ddp_model, default_argument_parser, default_setup
from .launch import launch
from .train_loop import HookBase, TrainerBase

__getattr__ = outside(globals())

__all__ = [
    "hooks",
    "DefaultTrainer",
    "create_ddp_model",
    "default_argument_parser",
    "default_setup",
    "launch",
    "HookBase",
    "TrainerBase",
]
