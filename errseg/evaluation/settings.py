"""The part of a configuration that decides what a trained model predicts."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["PREDICTION_KEYS", "TRAINING_KEYS", "flatten", "settings_of"]

# Sections and keys. MODEL.WEIGHTS and MODEL.CLIP.PRETRAINED are not among them: weights are compared as such.
PREDICTION_KEYS = (
    "MODEL.META_ARCHITECTURE",
    "MODEL.PIXEL_MEAN",
    "MODEL.PIXEL_STD",
    "MODEL.PRECISION",
    "MODEL.BACKBONE.NAME",
    "MODEL.SEM_SEG_HEAD.NAME",
    "MODEL.CLIP.NAME",
    "MODEL.HSM.ENABLED",
    "MODEL.CRM.ENABLED",
    "MODEL.CRM.NUM_CLASSES_TEST",
    "MODEL.CRM.TOP_CATEGORIES",
    "MODEL.CRM.SCORE_COEFFICIENT",
    "MODEL.ESCF",
    "MODEL.GUD",
    "MODEL.PROMPT",
    "INPUT.FORMAT",
    "INPUT.RESOLUTION_TEST",
    "INPUT.MIN_SIZE_TEST",
    "INPUT.MAX_SIZE_TEST",
    "TEST.SCALES",
    "TEST.FLIP",
    "TEST.KEEP_ASPECT",
    "TEST.SLIDING_WINDOW",
    "TEST.WINDOW_OVERLAP",
)
# What training alone reads, but a row of the paper's ablations may change.
TRAINING_KEYS = (
    "MODEL.CLIP.FINETUNE_IMAGE",
    "MODEL.CLIP.FINETUNE_TEXT",
    "MODEL.HSM.STAGE4_GRADIENT",
    "MODEL.CRM.NUM_CLASSES_TRAIN",
    "INPUT.RESOLUTION_TRAIN",
    "DATASETS.TRAIN",
)


def flatten(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of a nested configuration by their dotted keys, tuples as lists, as JSON would give them back."""
    leaves = {}
    for key, value in node.items():
        if isinstance(value, Mapping):
            leaves |= flatten(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = list(value) if isinstance(value, (list, tuple)) else value
    return leaves


def settings_of(config: Mapping[str, Any], keys: Sequence[str] = PREDICTION_KEYS) -> dict[str, Any]:
    """Those leaves of a configuration that ``keys`` name, or that lie in a section which they name."""
    return {
        leaf: value
        for leaf, value in flatten(config).items()
        if any(leaf == key or leaf.startswith(f"{key}.") for key in keys)
    }
