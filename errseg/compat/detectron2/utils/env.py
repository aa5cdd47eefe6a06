"""Seeding."""

import logging
import os
import random

import numpy as np
import torch

from ..outside import outside

__getattr__ = outside(globals())

__all__ = ["seed_all_rng"]


def seed_all_rng(seed: int | None = None) -> None:
    """Seed ``random``, numpy and torch. Without a seed, one is drawn and logged."""
    if seed is None:
        seed = int.from_bytes(os.urandom(4), "little")
        logging.getLogger(__name__).info(f"Using a generated random seed {seed}")
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    os.environ["PYTHONHASHSEED"] = str(seed)
