"""Systems: a published model is one record, which the rest of errseg asks.

A system moves in with a folder of ``errseg/modeling``, its files in ``configs/``, and ``register(System(...))``.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from detectron2.config import CfgNode
from torch import Tensor, nn

from ..config import register_keys
from ..errors import UsageError, short
from .panels import Panel
from .parity import Parity
from .taps import Tap

__all__ = ["Released", "System", "register", "system_of", "system_of_model", "systems"]


@dataclass(frozen=True)
class Released:
    """The authors' released checkpoints of a system.

    Attributes:
        recognises: whether a state dict has their names.
        config: the configuration of such a checkpoint, by its state dict; None where it is of no known size.
        from_released: the state dict under errseg's names. Raises UsageError where keys are missing, unknown, or of
            another shape.
        to_released: the released name of a parameter of errseg's.
    """

    recognises: Callable[[Mapping[str, Tensor]], bool]
    config: Callable[[Mapping[str, Tensor]], CfgNode | None]
    from_released: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    to_released: Callable[[str], str]


def keep_all(cfg: CfgNode, count: int, recommended: int | None = None) -> int:
    """K of a system that selects no names: 0, for all."""
    return 0


@dataclass(frozen=True)
class System:
    """What the rest of errseg knows of a system.

    Attributes:
        name: as its paper writes it.
        meta_architecture: the name of its class in Detectron2's registry.
        add_config: declares its configuration keys, in place.
        key_ranges: the least and the largest value of its numeric keys (``config/values.py``).
        training_keys: those of its configuration keys that training alone reads; all others decide what it predicts.
        argument_keys: by argument of its constructors, the key that it is read from, for messages.
        num_kept: K at test of a configuration, a number of names, and the K that their data set recommends (0 for all;
            None: it recommends none); 0 for all, and always 0 where a model of the configuration drops no names.
        num_kept_train: K in training, of a configuration; 0 for all.
        parts: for the log, its parts by the beginning of their parameters' names; the first that fits counts.
        copied_parts: of the parts, those that begin as a copy of CLIP's weights, and how to say so.
        released: its released checkpoints; None: there are none.
        plain_form: a model of the same weights, written literally from the paper's formulas; None: there is none.
        taps: the places to look at inside a model, by name.
        stages: for timing, the stages in the order in which they run, each with the tap whose module ends it.
        counted: by name, modules of a model whose multiply-adds its paper counts apart from the whole model's.
        shows: what ``Prediction.shown`` holds, by name.
        panels: what an inspection can show, by name (``modeling/panels.py``); empty: nothing.
        parity: how it is compared with recorded numbers of its authors' model; None: there are none. The weights are
            renamed by ``released``.
        test_keys: the keys of MODEL that are options of a test rather than of the model, for comparisons of two runs.
        learning_rates: of a configuration, the learning rate of some parameters as a factor of SOLVER.BASE_LR, by the
            beginning of their names; the first that fits counts.
        exportable: the model as it is exported: of a model, and of whether the number of names is not known when it is
            traced (an open vocabulary), a module with the same ``segment`` and ``normalize``; the model itself by
            default.
        cannot: what it cannot do ("export", "inspect", "benchmark", "plain", …), and why, as an end of a sentence.
    """

    name: str
    meta_architecture: str
    add_config: Callable[[CfgNode], None] = lambda cfg: None
    key_ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    training_keys: Collection[str] = ()
    argument_keys: Mapping[str, str] = field(default_factory=dict)
    num_kept: Callable[[CfgNode, int, int | None], int] = keep_all
    num_kept_train: Callable[[CfgNode], int] = lambda cfg: 0
    parts: Mapping[str, str] = field(default_factory=dict)
    copied_parts: Mapping[str, str] = field(default_factory=dict)
    released: Released | None = None
    plain_form: Callable[[nn.Module], nn.Module] | None = None
    taps: Callable[[nn.Module], Mapping[str, Tap]] = lambda model: {}
    stages: Mapping[str, str] = field(default_factory=dict)
    counted: Callable[[nn.Module], Mapping[str, Sequence[nn.Module]]] = lambda model: {}
    shows: tuple[str, ...] = ()
    panels: Mapping[str, Panel] = field(default_factory=dict)
    parity: Parity | None = None
    test_keys: tuple[str, ...] = ()
    learning_rates: Callable[[CfgNode], Mapping[str, float]] = lambda cfg: {}
    exportable: Callable[[nn.Module, bool], nn.Module] = lambda model, open_vocabulary: model
    cannot: Mapping[str, str] = field(default_factory=dict)

    def require(self, ability: str) -> None:
        """Check that the system can do something.

        Raises:
            UsageError: it cannot; the sentence says why.
        """
        reason = self.cannot.get(ability)
        if reason is None and ability == "inspect" and not self.panels:
            reason = "its record names no panels"
        if reason is not None:
            raise UsageError(f"{self.name} cannot {ability}: {reason}.")


_SYSTEMS: dict[str, System] = {}


def register(system: System) -> System:
    """Let a system move in; one of the same meta-architecture moves out."""
    _SYSTEMS[system.meta_architecture] = system
    register_keys(system.meta_architecture, system.add_config, system.key_ranges, system.training_keys)
    return system


def systems() -> tuple[System, ...]:
    """All systems, in the order in which they moved in."""
    return tuple(_SYSTEMS.values())


def system_of(cfg: CfgNode) -> System:
    """The system of a configuration.

    Raises:
        UsageError: MODEL.META_ARCHITECTURE is no system's.
    """
    name = cfg.MODEL.META_ARCHITECTURE
    if name not in _SYSTEMS:
        raise UsageError(
            f"MODEL.META_ARCHITECTURE = {short(name)!r} is no system of errseg; there are {', '.join(_SYSTEMS)}."
        )
    return _SYSTEMS[name]


def system_of_model(model: nn.Module) -> System:
    """The system of a model, whose class or a base of it is the meta-architecture.

    Raises:
        UsageError: it is of no system.
    """
    for kind in type(model).__mro__:
        if kind.__name__ in _SYSTEMS:
            return _SYSTEMS[kind.__name__]
    raise UsageError(f"A {type(model).__name__} is of no system of errseg; there are {', '.join(_SYSTEMS)}.")
