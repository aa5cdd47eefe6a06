"""``CfgNode`` with inheritance between files, and constructors that read a configuration."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from fvcore.common.config import CfgNode as _CfgNode

from ..utils.file_io import PathManager

__all__ = ["CfgNode", "configurable", "get_cfg"]

VERSION = 2  # of the configuration's layout


class CfgNode(_CfgNode):
    """A tree of declared keys: an undeclared key in a file or a list is an error that names it.

    A file may inherit from another: ``_BASE_: other.yaml`` (a path relative to the file, or a list of them).
    """

    @classmethod
    def _open_cfg(cls, filename: str) -> Any:
        return PathManager.open(filename, "r")

    def merge_from_file(self, cfg_filename: str, allow_unsafe: bool = True) -> None:
        """Merge a YAML file, after the files it inherits from.

        Args:
            cfg_filename: path of the file.
            allow_unsafe: load YAML with Python objects too, which may run code.

        Raises:
            KeyError: on a key that is not declared.
            ValueError: on a ``VERSION`` other than the one this layout has.
        """
        if not PathManager.isfile(cfg_filename):
            raise FileNotFoundError(f"Config file '{cfg_filename}' does not exist: give the path of a YAML file.")
        loaded = type(self)(self.load_yaml_with_base(cfg_filename, allow_unsafe=allow_unsafe) or {})
        version = loaded.get("VERSION", VERSION)
        if version != VERSION:
            raise ValueError(f"{cfg_filename} has VERSION: {version}, not {VERSION}: update its keys.")
        self.merge_from_other_cfg(loaded)

    def dump(self, *args: Any, **kwargs: Any) -> str:
        """The tree as YAML; arguments go to ``yaml.dump``."""
        return super().dump(*args, **kwargs)


def get_cfg() -> CfgNode:
    """A fresh copy of the default configuration."""
    from .defaults import _C

    return _C.clone()


def configurable(init_func: Callable | None = None, *, from_config: Callable | None = None) -> Callable:
    """Let a constructor or a function be called with a configuration instead of its own arguments.

    On ``__init__``, the class needs a classmethod ``from_config(cls, cfg, ...)``; on a function, it is given as
    ``@configurable(from_config=...)``. It returns the arguments as a dictionary. Called with a ``CfgNode`` first (or as
    ``cfg=``), what ``from_config`` takes goes to it, and every other argument overrides what it returns. Any other call
    goes through unchanged.
    """
    if init_func is not None:
        if not inspect.isfunction(init_func) or init_func.__name__ != "__init__" or from_config is not None:
            raise TypeError("@configurable without arguments decorates __init__ methods only: pass from_config=...")

        @functools.wraps(init_func)
        def wrapped_init(self: Any, *args: Any, **kwargs: Any) -> None:
            maker = getattr(type(self), "from_config", None)
            if maker is None:
                raise AttributeError(f"{type(self).__name__} is @configurable and needs a classmethod 'from_config'.")
            if not inspect.ismethod(maker):
                raise TypeError(f"{type(self).__name__}.from_config must be a classmethod.")
            if _called_with_cfg(*args, **kwargs):
                init_func(self, **_arguments_from_config(maker, *args, **kwargs))
            else:
                init_func(self, *args, **kwargs)

        return wrapped_init

    if not callable(from_config):
        raise TypeError(f"@configurable needs a function as from_config, got {from_config!r}.")

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if _called_with_cfg(*args, **kwargs):
                return function(**_arguments_from_config(from_config, *args, **kwargs))
            return function(*args, **kwargs)

        wrapped.from_config = from_config
        return wrapped

    return decorate


def _called_with_cfg(*args: Any, **kwargs: Any) -> bool:
    return bool(args and isinstance(args[0], _CfgNode)) or isinstance(kwargs.get("cfg"), _CfgNode)


def _arguments_from_config(from_config: Callable, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Arguments of the decorated callable: ``from_config``'s, overridden by those that it does not take."""
    parameters = inspect.signature(from_config).parameters
    if next(iter(parameters), None) != "cfg":
        raise TypeError(f"{getattr(from_config, '__qualname__', from_config)} must take 'cfg' as its first argument.")
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters.values()):
        return from_config(*args, **kwargs)
    taken = {name: kwargs.pop(name) for name in list(kwargs) if name in parameters}
    arguments = from_config(*args, **taken)
    arguments.update(kwargs)
    return arguments
