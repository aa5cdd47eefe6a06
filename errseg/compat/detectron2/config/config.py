"""``CfgNode`` with inheritance between files, and constructors that read a configuration."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from fvcore.common.config import CfgNode as _CfgNode

VERSION = 2  # of the configuration's layout


class CfgNode(_CfgNode):
    """A tree of declared keys. An undeclared key in a file or a list is an error that names it.

    A file may inherit from others: ``_BASE_: other.yaml`` (a path relative to the file, or a list of paths).
    """

    @classmethod
    def load_yaml_with_base(cls, filename: str, allow_unsafe: bool = False) -> dict[str, Any]:
        """Read a local file and the files that it inherits from, as plain data."""
        from errseg.config.node import read_tree  # errseg imports this module first

        return read_tree(filename)

    def merge_from_file(self, cfg_filename: str, allow_unsafe: bool = False) -> None:
        """Merge a YAML file and the files that it inherits from; ``allow_unsafe`` has no effect.

        Raises:
            KeyError: a key is not declared.
            ValueError: the file is not plain data, or its ``VERSION`` is not 2.
        """
        self.merge_from_other_cfg(type(self)(self.load_yaml_with_base(cfg_filename)))


def get_cfg() -> CfgNode:
    """A fresh copy of the default configuration."""
    from .defaults import _C

    return _C.clone()


def configurable(init_func: Callable) -> Callable:
    """Let a constructor be called with a configuration instead of its own arguments.

    The class needs a classmethod ``from_config(cls, cfg, ...)`` that returns the arguments as a dictionary. If the
    first argument (or ``cfg=``) is a ``CfgNode``, the arguments that ``from_config`` declares are passed to it, and
    every other argument overrides a value that it returns. Any other call is passed on unchanged.
    """

    @functools.wraps(init_func)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        from_config = getattr(type(self), "from_config", None)
        if not inspect.ismethod(from_config):
            raise AttributeError(f"{type(self).__name__} is @configurable and needs a classmethod 'from_config'.")
        if any(isinstance(value, _CfgNode) for value in (*args[:1], kwargs.get("cfg"))):
            kwargs = _read_config(from_config, *args, **kwargs)
            args = ()
        init_func(self, *args, **kwargs)

    return wrapped


def _read_config(from_config: Callable, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Call ``from_config``; the arguments that it does not declare override what it returns."""
    parameters = inspect.signature(from_config).parameters
    if next(iter(parameters), None) != "cfg":
        raise TypeError(f"{from_config.__qualname__} must take 'cfg' as its first argument.")
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters.values()):
        return from_config(*args, **kwargs)
    taken = {name: value for name, value in kwargs.items() if name in parameters}
    left = {name: value for name, value in kwargs.items() if name not in parameters}
    return {**from_config(*args, **taken), **left}
