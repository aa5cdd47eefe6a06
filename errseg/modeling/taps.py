"""Taps: named places to look at inside a running model.

A system's record names them (``System.taps``). ``watch`` shows what passes by while the model runs; nothing is run for
it, and nothing stays behind.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import nn

from ..errors import UsageError

Seen = dict[str, list[Any]]


class Tap(NamedTuple):
    """A place to look at: a module of the model, and what is kept of each of its calls."""

    module: Callable[[nn.Module], nn.Module | None]  # of the model; None: this model lacks it
    value: Callable[[nn.Module, tuple, Any], Any] = lambda module, arguments, output: output


def has_tap(model: nn.Module, name: str) -> bool:
    """Whether a model has the place that a tap of its system names."""
    return tap_of(model, name).module(model) is not None


def tap_of(model: nn.Module, name: str) -> Tap:
    """A tap of a model's system.

    Raises:
        UsageError: there is no tap of that name.
    """
    from .system import system_of_model

    system = system_of_model(model)
    if name not in system.taps:
        raise UsageError(f"{system.name} has no tap {name!r}; there are {', '.join(sorted(system.taps))}.")
    return system.taps[name]


@contextmanager
def watch(model: nn.Module, names: Iterable[str]) -> Iterator[Seen]:
    """Keep what passes by at taps during the calls that this thread makes.

    Args:
        model: the model.
        names: of taps; those that the model lacks see nothing.

    Yields:
        By name, a list of the values, one for each call of the tap's module.
    """
    seen: Seen = {}
    handles = []
    watcher = threading.get_ident()

    def hook(name: str, tap: Tap) -> Callable[[nn.Module, tuple, Any], None]:
        def keep(module: nn.Module, arguments: tuple, output: Any) -> None:
            if threading.get_ident() == watcher:
                seen.setdefault(name, []).append(tap.value(module, arguments, output))

        return keep

    try:
        for name in names:
            tap = tap_of(model, name)
            module = tap.module(model)
            if module is not None:
                handles.append(module.register_forward_hook(hook(name, tap)))
        yield seen
    finally:
        for handle in handles:
            handle.remove()
