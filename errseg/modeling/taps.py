"""Taps: named places to look at inside a running model.

``System.taps`` of a system's record gives the taps of a model. ``watch`` keeps the values at taps while the model runs.
It does not run the model itself, and it removes its hooks at the end.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import nn
from torch.utils.hooks import RemovableHandle

from ..errors import UsageError

__all__ = ["Seen", "Tap", "first_argument", "has_tap", "tap_of", "taps_of", "watch"]

Seen = dict[str, list[Any]]


class Tap(NamedTuple):
    """A place to look at: a module of a model, and the value to keep from each of its calls.

    Attributes:
        module: the module.
        value: from the module, the positional arguments of a call, and its output, the value to keep; by default the
            output.
    """

    module: nn.Module
    value: Callable[[nn.Module, tuple, Any], Any] = lambda module, arguments, output: output


def first_argument(module: nn.Module, arguments: tuple, output: Any) -> Any:
    """The value of a tap that shows what its module gets."""
    return arguments[0]


def taps_of(model: nn.Module) -> Mapping[str, Tap]:
    """The taps of a model, by name.

    Raises:
        UsageError: the model belongs to no system.
    """
    from .system import system_of_model

    return system_of_model(model).taps(model)


def has_tap(model: nn.Module, name: str) -> bool:
    """Whether a model has a tap of that name."""
    return name in taps_of(model)


def tap_of(model: nn.Module, name: str) -> Tap:
    """A tap of a model.

    Raises:
        UsageError: the model has no tap of that name.
    """
    return _tap(model, taps_of(model), name)


@contextmanager
def watch(model: nn.Module, names: Iterable[str]) -> Iterator[Seen]:
    """Keep the values at taps during the calls that this thread makes.

    Args:
        model: the model.
        names: the names of the taps.

    Yields:
        For each name, a list with a value for each call of the tap's module; a name is missing before the first call.

    Raises:
        UsageError: the model has no tap of one of the names.
    """
    taps, watcher = taps_of(model), threading.get_ident()
    seen: Seen = {}
    handles: list[RemovableHandle] = []

    def hook(name: str, tap: Tap) -> Callable[[nn.Module, tuple, Any], None]:
        def keep(module: nn.Module, arguments: tuple, output: Any) -> None:
            if threading.get_ident() == watcher:
                seen.setdefault(name, []).append(tap.value(module, arguments, output))

        return keep

    try:
        for name in names:
            tap = _tap(model, taps, name)
            handles.append(tap.module.register_forward_hook(hook(name, tap)))
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _tap(model: nn.Module, taps: Mapping[str, Tap], name: str) -> Tap:
    if name not in taps:
        raise UsageError(f"This {type(model).__name__} has no tap {name!r}; it has {', '.join(sorted(taps))}.")
    return taps[name]
