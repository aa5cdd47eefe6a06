"""A configuration as a flat dictionary of settings, and which settings decide what a trained model predicts."""

from collections.abc import Mapping
from typing import Any

from .keys import training_keys
from .loading import get_cfg
from .training_only import COMPARED_APART, SCORED_WITH, TRAINING_ONLY

__all__ = ["changed_settings", "decides_predictions", "decides_scores", "flatten", "plain", "settings_of"]

SECTIONS = ("MODEL.", "INPUT.", "TEST.")
Settings = dict[str, Any]  # values by their dotted keys


def flatten(node: Mapping[str, Any], prefix: str = "") -> Settings:
    """The leaves of a nested configuration by their dotted keys, with values as JSON would return them."""
    leaves: Settings = {}
    for key, value in node.items():
        if isinstance(value, Mapping):
            leaves |= flatten(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = plain(value)
    return leaves


def plain(value: Any) -> Any:
    """A value of a configuration as JSON would return it: tuples become lists, values of other types become text."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def is_of_model_or_data(key: str) -> bool:
    """Whether a key belongs to MODEL, INPUT or TEST, and describes neither the machine nor the place of the weights."""
    return key.startswith(SECTIONS) and key not in COMPARED_APART


def decides_predictions(key: str) -> bool:
    """Whether a key decides what a trained model predicts.

    All keys of MODEL, INPUT and TEST do, but those of training, and those that only turn predictions into scores.
    """
    return is_of_model_or_data(key) and key not in TRAINING_ONLY | SCORED_WITH | training_keys()


def decides_scores(key: str) -> bool:
    """Whether a key decides the scores of a trained model: its predictions, or what is counted of them."""
    return decides_predictions(key) or key in SCORED_WITH


def settings_of(config: Mapping[str, Any]) -> Settings:
    """The settings of a configuration that decide what a trained model predicts, by their dotted keys."""
    return {key: value for key, value in flatten(config).items() if decides_predictions(key)}


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings that differ, by their dotted keys in order, each with both values.

    A record has no key that was added to errseg after it. Such a key counts with its default. A key without a default,
    of a system that is not installed, counts as None.

    Args:
        before: settings by their dotted keys.
        now: likewise.
    """
    defaults = flatten(get_cfg()) if before.keys() != now.keys() else {}
    found = {}
    for key in sorted(before.keys() | now.keys()):
        old, new = (settings.get(key, defaults.get(key)) for settings in (before, now))
        if old != new:
            found[key] = (old, new)
    return found
