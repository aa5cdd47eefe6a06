"""What Detectron2 has and this stand-in has not: asking for it says to install the real one."""

import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

__all__ = ["outside"]


def outside(module: dict[str, Any]) -> Callable[[str], Any]:
    """The ``__getattr__`` of one of our modules, for the names that it has not.

    Args:
        module: its ``globals()``. They get a ``__path__``, so that ``from module import name`` asks ``_Finder`` too:
            Python drops the message of the AttributeError that it would get otherwise.
    """
    module.setdefault("__path__", [])

    def missing(name: str) -> Any:
        raise AttributeError(_sentence(f"{module['__name__']}.{name}"))

    return missing


def _sentence(name: str) -> str:
    return (
        f"{name} is not in the small stand-in for Detectron2 that comes with errseg, which has what errseg itself "
        "needs; install Detectron2 to use it (it is preferred where it is installed)."
    )


class _Finder:
    """Comes last among Python's finders, and answers for the submodules of detectron2 that no other has found."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.startswith("detectron2."):
            raise ImportError(_sentence(name), name=name)
        return None


sys.meta_path.append(_Finder)
