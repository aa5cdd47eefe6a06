"""Released checkpoints of any system: recognise them, and rename their parameters to errseg's names."""

from collections.abc import Mapping
from functools import lru_cache

from detectron2.config import CfgNode
from torch import Tensor

from ..config import get_cfg
from ..errors import UsageError
from ..modeling import released_of, system_of, systems

__all__ = ["from_official", "is_official", "released_clip_name", "released_config", "to_official"]


def is_official(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the names of some system's released checkpoints."""
    return released_of(state_dict) is not None


def from_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A released checkpoint's state dict under errseg's names.

    Args:
        state_dict: every key of a released model, and no other.

    Raises:
        UsageError: keys are missing, unknown, or have the wrong shape (the message names them); or no system has such
            keys.
    """
    released = released_of(state_dict)
    if released is None:
        known = ", ".join(system.name for system in systems() if system.released is not None)
        first = next(iter(state_dict), "none")
        raise UsageError(
            f"Not a released checkpoint of a system of errseg ({known}): its first key is {first}; get the file "
            "again, or load it as one of errseg's."
        )
    return released.from_released(state_dict)


def released_config(state_dict: Mapping[str, Tensor]) -> CfgNode | None:
    """The configuration of a released checkpoint; None where it is no such checkpoint, or of no known size."""
    released = released_of(state_dict)
    return None if released is None else released.config(state_dict)


def released_clip_name(state_dict: Mapping[str, Tensor]) -> str | None:
    """``MODEL.CLIP.NAME`` of a released checkpoint; None where it is no such checkpoint, or of no known size."""
    cfg = released_config(state_dict)
    return None if cfg is None else cfg.MODEL.CLIP.NAME


def to_official(key: str, system: str | None = None) -> str:
    """The name of one of errseg's parameters in the released checkpoints.

    Args:
        key: the parameter's name.
        system: its meta-architecture; None: that of the default configuration.

    Raises:
        UsageError: there is no such system, or it has no released checkpoints.
    """
    record = system_of(CfgNode({"MODEL": CfgNode({"META_ARCHITECTURE": system or _default_system()})}))
    if record.released is None:
        raise UsageError(f"{record.name} has no released checkpoints.")
    return record.released.to_released(key)


@lru_cache(maxsize=1)  # a state dict has hundreds of keys
def _default_system() -> str:
    return get_cfg().MODEL.META_ARCHITECTURE
