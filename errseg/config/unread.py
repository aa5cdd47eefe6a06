"""Keys of one system in the configuration of another: they have no effect."""

from collections.abc import Callable
from functools import cache
from typing import Any

from detectron2.config import CfgNode
from detectron2.config import get_cfg as get_detectron2_cfg

from .keys import add_shared_keys, declarations

__all__ = ["unread_keys"]


def unread_keys(cfg: CfgNode) -> dict[str, Any]:
    """The keys that other systems alone declare and whose values are not the defaults, with these values.

    Nothing is found for a system without keys of its own, such as a stage of another system's training: it may read
    that system's keys.
    """
    declared = {system: _keys_of(declare) for system, declare in declarations().items()}
    own = declared.get(cfg.MODEL.META_ARCHITECTURE)
    if not own:
        return {}
    foreign = {key: value for keys in declared.values() for key, value in keys.items() if key not in own}
    leaves = _leaves(cfg)
    return {key: leaves[key] for key, value in foreign.items() if _plain(leaves[key]) != _plain(value)}


@cache  # every model that is built asks again
def _keys_of(declare: Callable[[CfgNode], None]) -> dict[str, Any]:
    """The keys that a system declares, with their defaults."""
    cfg = get_detectron2_cfg()
    add_shared_keys(cfg)
    before = _leaves(cfg)
    declare(cfg)
    return {key: value for key, value in _leaves(cfg).items() if key not in before}


def _leaves(cfg: CfgNode, prefix: str = "") -> dict[str, Any]:
    """All keys that are no sections, by their full names."""
    leaves: dict[str, Any] = {}
    for key, value in cfg.items():
        leaves |= _leaves(value, f"{prefix}{key}.") if isinstance(value, CfgNode) else {prefix + key: value}
    return leaves


def _plain(value: Any) -> Any:
    """A value for comparison: yacs takes a tuple for a list."""
    return list(value) if isinstance(value, tuple) else value
