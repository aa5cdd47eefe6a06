"""ERR-Seg's K from a configuration, where it may fit the image."""

from detectron2.config import CfgNode

from ...errors import arguments_from
from ..num_kept import AUTO, AutoKept, NumKept

__all__ = ["auto_kept", "number_or_auto"]


def auto_kept(cfg: CfgNode) -> AutoKept:
    """K that fits the image, for a model with CRM."""
    keys = cfg.MODEL.CRM
    with arguments_from("MODEL.CRM"):
        return AutoKept(keys.AUTO_THRESHOLD, keys.AUTO_MIN, keys.AUTO_MAX)


def number_or_auto(cfg: CfgNode, key: str) -> NumKept:
    """The value of a key of MODEL.CRM that holds K, or "auto"."""
    value = cfg.MODEL.CRM[key]
    return auto_kept(cfg) if value == AUTO else value
