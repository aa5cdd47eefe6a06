"""open_clip and timm, imported at their first use: importing them takes as long as importing torch.

What reads a data set or compares two evaluations builds no model, and does not wait for them.
"""

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["open_clip", "register_in_timm", "timm"]


class _Library:
    """A library that is imported when an attribute of it is first asked for."""

    def __init__(self, name: str):
        self._name = name
        self._additions: list[str] = []

    def __getattr__(self, attribute: str) -> Any:
        library = importlib.import_module(self._name)
        for module in self._additions:
            importlib.import_module(module)
        return getattr(library, attribute)


def register_in_timm(module: str) -> None:
    """Name a module that registers models in timm when it is imported, which is when timm is first asked for one."""
    _timm._additions.append(module)


_timm = _Library("timm")
if TYPE_CHECKING:
    import open_clip
    import timm
else:
    open_clip, timm = _Library("open_clip"), _timm
