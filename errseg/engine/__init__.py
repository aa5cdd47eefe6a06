"""Training: the trainer, the optimizer, the processes, and the checks before a run."""

from errseg.config import load_config

from .devices import check_devices
from .launch import start_processes, torchrun_world
from .optimizer import build_gradient_clipper, build_optimizer, parameter_groups
from .request import check_request
from .step import StepTrainer
from .trainer import Trainer

__all__ = [
    "StepTrainer",
    "Trainer",
    "build_gradient_clipper",
    "build_optimizer",
    "check_devices",
    "check_request",
    "load_config",
    "parameter_groups",
    "start_processes",
    "torchrun_world",
]
