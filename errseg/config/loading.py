"""Make a configuration from a YAML file and KEY VALUE pairs."""

import difflib
import os
from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.config import get_cfg as get_detectron2_cfg

from errseg.errors import UsageError, short

from .keys import add_errseg_config
from .node import Config
from .packaged import config_path, packaged_file

__all__ = ["apply_overrides", "get_cfg", "load_config"]

DECLARED = "errseg/config/keys.py declares errseg's keys"
MAX_VALUE = 10_000  # characters of an override
# What yacs and Python's own reader of literals raise for a key that is not declared, or a value that does not fit
UNFIT = (AssertionError, AttributeError, KeyError, MemoryError, RecursionError, TypeError, ValueError)


def get_cfg() -> Config:
    """Detectron2's defaults and ours, a fresh copy at each call."""
    cfg = get_detectron2_cfg()
    add_errseg_config(cfg)
    return Config(cfg)


def load_config(config_file: str, overrides: Sequence[Any] = ()) -> CfgNode:
    """The configuration of a YAML file and KEY VALUE overrides.

    Args:
        config_file: the path of a YAML file, or the name of a packaged configuration such as "errseg_convnext_base".
        overrides: as for ``apply_overrides``.

    Raises:
        UsageError: the file is missing or no plain data, a key is unknown, or a value does not fit its key.
    """
    config_file = config_path(config_file)
    cfg = get_cfg()
    try:
        cfg.merge_from_file(config_file)
    except UsageError:
        raise
    except UNFIT as error:
        raise UsageError(f"{config_file}: {_reason(error)}; {DECLARED}.") from error
    _find_beside(cfg, config_file)
    apply_overrides(cfg, overrides)
    if isinstance(cfg.MODEL.CLIP.NAME, str):
        cfg.MODEL.CLIP.NAME = packaged_file(cfg.MODEL.CLIP.NAME)
    return cfg


def _find_beside(cfg: CfgNode, config_file: str) -> None:
    """Give ``MODEL.CLIP.NAME`` its folder where it is a file beside the configuration, as in a saved model's folder."""
    name = cfg.MODEL.CLIP.NAME
    if isinstance(name, str) and name.endswith(".json") and os.path.basename(name) == name:
        beside = os.path.join(os.path.dirname(config_file), name)
        cfg.MODEL.CLIP.NAME = beside if os.path.isfile(beside) else name


def apply_overrides(cfg: CfgNode, overrides: Sequence[Any]) -> None:
    """Change keys of a configuration, in place.

    Args:
        cfg: a configuration that is not frozen.
        overrides: keys and values in turn; a value has the type of its key, or is a text that stands for such a value.

    Raises:
        UsageError: a key is unknown, or a value is missing or does not fit its key.
    """
    late = next((word for word in overrides if str(word).startswith("--")), None)
    if late:
        raise UsageError(f"The option {short(late)} comes after a KEY VALUE pair; put the options before the pairs.")
    if len(overrides) % 2:
        raise UsageError(f"Overrides come as KEY VALUE; {short(repr(overrides[-1]))} has no value.")
    for key, value in zip(overrides[::2], overrides[1::2], strict=True):
        _override(cfg, key, value)


def _override(cfg: CfgNode, key: str, value: Any) -> None:
    if not isinstance(key, str) or not _has_key(cfg, key):
        near = difflib.get_close_matches(str(key), _leaves(cfg), n=1)
        hint = f"did you mean {near[0]}?" if near else f"{DECLARED}."
        raise UsageError(f"There is no configuration key {short(key)}; {hint}")
    if isinstance(value, str) and len(value) > MAX_VALUE:
        raise UsageError(f"The value of {key} has {len(value)} characters; give at most {MAX_VALUE}.")
    try:
        cfg.merge_from_list([key, value])
    except UNFIT as error:
        raise UsageError(f"{key} cannot be {short(repr(value))}: {_reason(error)}.") from error


def _has_key(cfg: CfgNode, key: str) -> bool:
    node = cfg
    for part in key.split("."):
        if not isinstance(node, CfgNode) or (part not in node and not node.is_new_allowed()):
            return False
        node = node.get(part)
    return True


def _leaves(cfg: CfgNode, prefix: str = "") -> list[str]:
    """The full names of every key."""
    names: list[str] = []
    for key, value in cfg.items():
        names += _leaves(value, f"{prefix}{key}.") if isinstance(value, CfgNode) else [prefix + key]
    return names


def _reason(error: Exception) -> str:
    """An exception's message as a clause of a sentence."""
    if isinstance(error, (MemoryError, RecursionError)):
        return "its value nests too deeply"
    text = error.args[0] if isinstance(error, KeyError) and error.args else error  # KeyError prints its message quoted
    text = " ".join(str(text).split()).rstrip(".") or type(error).__name__
    return text if len(text) <= 300 else f"{text[:150]} … {text[-150:]}"  # yacs ends with the name of the key
