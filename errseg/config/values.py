"""The values that configuration keys may have, where their type alone allows too many."""

import math
from typing import Any

from detectron2.config import CfgNode

from errseg.errors import UsageError, short

from .keys import key_ranges, key_words

__all__ = ["check_values"]

INFINITY = math.inf
SHARE = (0, 1)
RANGES = {  # the least and the largest value, of a number or of each of several
    "MODEL.PIXEL_MEAN": (-1e6, 1e6),
    "MODEL.PIXEL_STD": (1e-6, 1e6),
    "MODEL.CLIP.DROP": SHARE,
    "MODEL.CLIP.DROP_PATH": SHARE,
    "MODEL.SEM_SEG_HEAD.IGNORE_VALUE": (0, 65535),
    "DATASETS.REGIONS_PER_CLASS": (0, 1e9),
    "DATASETS.REGIONS_SEED": (0, 2**63 - 1),
    "INPUT.RESOLUTION_TRAIN": (64, 8192),
    "INPUT.RESOLUTION_TEST": (-INFINITY, 8192),  # views.py checks the lower limit
    "INPUT.MIN_SIZE_TRAIN": (0, 100_000),
    "INPUT.MAX_SIZE_TRAIN": (1, 100_000),
    "INPUT.MIN_SIZE_TEST": (0, 100_000),
    "INPUT.MAX_SIZE_TEST": (1, 100_000),
    "INPUT.SIZE_DIVISIBILITY": (-1, 8192),
    "INPUT.CROP.SIZE": (1e-6, 100_000),
    "INPUT.CROP.SINGLE_CATEGORY_MAX_AREA": (1e-6, 1),
    "TEST.SCALES": (-INFINITY, 16),
    "TEST.WINDOW_CANVAS": (0, 8192),
    "TEST.EVAL_PERIOD": (0, INFINITY),
    "SOLVER.MAX_ITER": (0, 1e12),
    "SOLVER.BASE_LR": (0, 1e6),
    "SOLVER.BASE_LR_END": (0, 1e6),
    "SOLVER.CLIP_MULTIPLIER": (0, 1e6),
    "SOLVER.MOMENTUM": SHARE,
    "SOLVER.WEIGHT_DECAY": (0, 1e6),
    "SOLVER.WEIGHT_DECAY_NORM": (0, 1e6),
    "SOLVER.WEIGHT_DECAY_EMBED": (0, 1e6),
    "SOLVER.POLY_LR_POWER": (0, 1e3),
    "SOLVER.POLY_LR_CONSTANT_ENDING": SHARE,
    "SOLVER.GAMMA": (0, 1e6),
    "SOLVER.WARMUP_FACTOR": (0, 1e6),
    "SOLVER.WARMUP_ITERS": (0, 1e12),
    "SOLVER.CHECKPOINT_PERIOD": (1, 1e12),
    "SOLVER.PATIENCE": (0, 1e9),
    "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": (1e-12, 1e12),
    "DATALOADER.NUM_WORKERS": (0, 1024),
    "SEED": (-INFINITY, 2**31 - 1),  # negative: drawn at random
}
LENGTHS = {"MODEL.PIXEL_MEAN": 3, "MODEL.PIXEL_STD": 3, "INPUT.CROP.SIZE": 2}
CHOICES = {
    "INPUT.FORMAT": ("RGB",),
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": ("choice", "range"),
    "TEST.MEAN_OVER": ("ground_truth", "ground_truth_or_prediction"),
    "INPUT.CROP.TYPE": ("relative", "relative_range", "absolute", "absolute_range"),
}
NEEDED = ("MODEL.DEVICE", "MODEL.CLIP.NAME", "OUTPUT_DIR")  # texts; yacs would accept None for every key


def check_values(cfg: CfgNode) -> None:
    """Check the values of a configuration; Detectron2 has checked their types.

    Raises:
        UsageError: a value is out of its range, is none of the choices, or is None.
    """
    words = key_words()
    for key, (least, most) in (RANGES | key_ranges()).items():
        value, others = _value(cfg, key), words.get(key, ())
        if isinstance(value, str) and value in others:
            continue
        numbers = value if isinstance(value, (list, tuple)) else [value]
        if not all(_is_number(number) and least <= number <= most for number in numbers):
            raise UsageError(f"{key} = {short(repr(value))}; give {' or '.join([_range(least, most), *others])}.")
    for key, length in LENGTHS.items():
        if len(_value(cfg, key)) != length:
            raise UsageError(f"{key} = {short(repr(_value(cfg, key)))}; give {length} numbers.")
    for key, choices in CHOICES.items():
        if _value(cfg, key) not in choices:
            raise UsageError(f"{key} = {short(repr(_value(cfg, key)))}; choose {' or '.join(choices)}.")
    for key in NEEDED:
        if _value(cfg, key) is None:
            raise UsageError(f"{key} = None; give a text, or leave the key out.")


def _value(cfg: CfgNode, key: str) -> Any:
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)


def _range(least: float, most: float) -> str:
    if least == -INFINITY:
        return f"at most {most:g}"
    return f"{least:g} or more" if most == INFINITY else f"{least:g} to {most:g}"
