"""The test protocols under which several systems are compared: each its own, and one that is common to all.

The common protocol is one view of the whole picture, at one resolution for all systems, with every option of a test
switched off. It removes what is not equal between the systems' own protocols: windows, resolutions, early rejection.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from detectron2.config import CfgNode

from ..config import get_cfg
from ..config.settings import changed_settings, decides_scores, flatten
from ..modeling import build_on_meta, system_of

__all__ = ["BOTH", "COMMON", "NOTE", "OWN", "apply", "common_keys", "common_side", "protocols_of"]

OWN, COMMON, BOTH = "own protocol", "common protocol", "own and common protocol"
NOTE = (
    "Own protocol: that of the system's configuration, its loader included. Common protocol: one view of the whole "
    "picture at one resolution, without early rejection."
)
SIZES = ((160, 160), (480, 640), (1200, 800))  # pictures whose views are compared
Keys = list[Any]  # configuration keys and values, one after another


def common_side(cfgs: Iterable[CfgNode]) -> int:
    """The side of the view of the common protocol: the smallest of the systems' own, which each of them can see."""
    return min(cfg.INPUT.RESOLUTION_TEST for cfg in cfgs)


def common_keys(cfgs: Iterable[CfgNode]) -> Keys:
    """The keys of the common protocol of some systems.

    Args:
        cfgs: the configurations of the systems, with their own protocols.
    """
    cfgs = list(cfgs)
    side = common_side(cfgs)
    keys = ["INPUT.RESOLUTION_TEST", side, "TEST.SLIDING_WINDOW", False, "TEST.WINDOW_CANVAS", 0]
    keys += ["TEST.WINDOW_WHOLE", False, "TEST.KEEP_ASPECT", False, "TEST.FLIP", False, "TEST.SCALES", (1.0,)]
    if any(cfg.INPUT.MIN_SIZE_TEST for cfg in cfgs):  # else no loader resizes the pictures
        keys += ["INPUT.MIN_SIZE_TEST", side, "INPUT.MAX_SIZE_TEST", max(cfg.INPUT.MAX_SIZE_TEST for cfg in cfgs)]
    return keys


def protocols_of(cfg: CfgNode, common: Sequence[Any]) -> dict[str, Keys]:
    """The protocols of a system by name, each with the keys that it changes in the system's configuration.

    Args:
        cfg: the configuration of the system.
        common: of ``common_keys``.

    Returns:
        ``OWN`` and ``COMMON``, or ``BOTH`` where they are the same; and the system's variants.
    """
    variants, defaults = system_of(cfg).variants, flatten(get_cfg())
    plain = [*common, *(x for keys in variants.values() for key in keys for x in (key, defaults[key]))]
    found: dict[str, Keys] = {OWN: [], COMMON: plain} if _changes(cfg, plain) else {BOTH: []}
    for name, keys in variants.items():
        pairs = [x for pair in keys.items() for x in pair]
        if _changes(cfg, pairs):
            found[name] = pairs
    return found


def apply(cfg: CfgNode, keys: Sequence[Any]) -> CfgNode:
    """The configuration with other keys."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.merge_from_list(list(keys))
    return cfg


def _changes(cfg: CfgNode, keys: Sequence[Any]) -> bool:
    """Whether keys change the scores of a trained model of a configuration."""
    changed = apply(cfg, keys)
    found = changed_settings(_deciding(cfg), _deciding(changed))
    if list(found) == ["INPUT.RESOLUTION_TEST"]:  # a system that sees pictures at their own size may not depend on it
        before, after = (build_on_meta(each).views for each in (cfg, changed))
        return any(before.of(*size) != after.of(*size) for size in SIZES)
    return bool(found)


def _deciding(cfg: CfgNode) -> Mapping[str, Any]:
    return {key: value for key, value in flatten(cfg).items() if decides_scores(key)}
