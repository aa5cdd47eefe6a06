"""Systems: each published model has one record, and the rest of errseg reads this record.

To add a system, write a folder in ``errseg/modeling``, its files in ``configs/``, and ``register(System(...))``.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from detectron2.config import CfgNode
from torch import Tensor, nn

from ..config import register_keys
from ..errors import UsageError, short
from .num_kept import AutoKept, NumKept
from .panels import Panel
from .parity import Parity
from .taps import Tap

__all__ = ["Measure", "Mini", "Released", "System", "register", "system_of", "system_of_model", "systems"]

Measure = Callable[[Any, dict, Tensor], tuple[int, int]]  # see ``System.measures``


@dataclass(frozen=True)
class Released:
    """The authors' released checkpoints of a system.

    Attributes:
        recognises: from a state dict, whether it has the released names.
        config: from the state dict of a released checkpoint, its configuration; None where its size is unknown.
        from_released: from a released state dict, the same under errseg's names. Raises UsageError where keys are
            missing or unknown, or have another shape.
        to_released: from errseg's name of a parameter, its released name.
    """

    recognises: Callable[[Mapping[str, Tensor]], bool]
    config: Callable[[Mapping[str, Tensor]], CfgNode | None]
    from_released: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    to_released: Callable[[str], str]


@dataclass(frozen=True)
class Mini:
    """How a system is trained on the mini world (``errseg/mini``).

    Attributes:
        word: its name on the command line, and of the folder of its model.
        config: the packaged configuration of its training; of the last stage, where there are several.
        tower: the image tower of the small CLIP, a key of ``errseg.mini.pretraining.RECIPES``.
        stages: the stages of training before, in order: the configuration of each, and the key by which the later
            stages take its weights.
        ablations: the folder in ``configs/`` whose files are the rows of its own table; "" for none.
    """

    word: str
    config: str
    tower: str = "convnext"
    stages: Mapping[str, str] = field(default_factory=dict)
    ablations: str = ""


def keep_all(cfg: CfgNode, count: int, recommended: int | None = None) -> NumKept:
    """K of a system that keeps all names: 0."""
    return 0


@dataclass(frozen=True)
class System:
    """The record of a system: all that the rest of errseg knows about it.

    Attributes:
        name: the name in its paper.
        meta_architecture: the name of its class in Detectron2's registry.
        citation: its paper in BibTeX, for those who publish a model of it.
        config: the packaged configuration of its smaller released model, with its own test protocol; "" for none.
        variants: further ways of testing that its paper counts, by name: the keys of each and their values. A protocol
            that is common to several systems has the defaults of these keys.
        varies: from a configuration, whether the work on a picture depends on what it shows, so that it cannot be
            counted without weights.
        add_config: declares its keys in a configuration, in place.
        key_ranges: the smallest and the largest value of its numeric keys (``config/values.py``).
        key_words: the words that a numeric key may hold in place of a number.
        training_keys: those of its configuration keys that only training reads; all others affect its predictions.
        samples: what it learns from and is scored on: "images" with label maps, or "regions", crops of one class each,
            which it classifies (``data/regions.py``).
        backbones: the classes that ``MODEL.BACKBONE.NAME`` may name, and their subclasses; empty: any, or none is used.
        argument_keys: for messages, the configuration key of each constructor argument.
        num_kept: from a configuration, a number of names, and the K that their data set recommends (0 for all; None: no
            recommendation), the K at test, or what gives each image its own. 0 for all; always 0 where a model of the
            configuration drops no names.
        num_kept_train: from a configuration, K in training; 0 for all.
        auto_kept: from a configuration, the K at test that fits the image; None: the system keeps every name.
        parts: for the log, the parts of a model, each with the beginning of its parameters' names. The first match
            counts.
        copied_parts: the parts that start as a copy of CLIP's weights, each with a phrase for the log.
        needs_weights: from a configuration, the parts that its training does not change and that must not be random,
            each with the key of its weights. CLIP is checked in any case.
        released: its released checkpoints; None: there are none.
        plain_form: from a model, one on the same weights, written literally from the paper's formulas; None: there is
            none.
        taps: from a model, the places to look at inside it, by name.
        stages: for timing, the stages in the order in which they run, each with the tap whose module ends it.
        counted: from a model, by name, the modules whose multiply-adds are counted separately, as in its paper.
        shows: the entries of ``Prediction.shown``, by name. Known to API and web page: "ranking", (B, T) points of the
            names; "masks", (B, N, h, w) probabilities of mask proposals, and "classes", (B, N, T or more), the
            probability of each name for each mask, before those of no name.
        panels: the parts of a model that an inspection can show, by name (``modeling/panels.py``); empty: none.
        parity: the comparison with recorded numbers of its authors' model; None: there are no such numbers. The weights
            are renamed by ``released``.
        test_keys: the keys of MODEL that are options of a test, not of the model; for comparisons of two runs.
        learning_rates: from a configuration, factors of SOLVER.BASE_LR for some parameters, by the beginning of their
            names. The first match counts.
        exportable: from a model, and whether the number of names is unknown at tracing (an open vocabulary), the module
            to export, which has the same ``segment`` and ``normalize``; by default the model itself.
        measures: scores of a model's parts, by name, for reports on labelled images. Each is a function of a model with
            a vocabulary, the inputs of one image, and its labels (H, W), negative where a pixel has no class; it
            returns how many things are right, and how many there are.
        mini: its training on the mini world; None: it has none.
        cannot: the abilities that it lacks ("segment", "export", "inspect", "benchmark", "plain", …), each with the
            reason as the end of a sentence.
    """

    name: str
    meta_architecture: str
    citation: str = ""
    config: str = ""
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    varies: Callable[[CfgNode], bool] = lambda cfg: False
    add_config: Callable[[CfgNode], None] = lambda cfg: None
    key_ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    key_words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    training_keys: Collection[str] = ()
    samples: str = "images"
    backbones: tuple[type[nn.Module], ...] = ()
    argument_keys: Mapping[str, str] = field(default_factory=dict)
    num_kept: Callable[[CfgNode, int, int | None], NumKept] = keep_all
    num_kept_train: Callable[[CfgNode], NumKept] = lambda cfg: 0
    auto_kept: Callable[[CfgNode], AutoKept] | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    copied_parts: Mapping[str, str] = field(default_factory=dict)
    needs_weights: Callable[[CfgNode], Mapping[str, str]] = lambda cfg: {}
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
    measures: Mapping[str, Measure] = field(default_factory=dict)
    mini: Mini | None = None
    cannot: Mapping[str, str] = field(default_factory=dict)

    def require(self, ability: str) -> None:
        """Check that the system can do something.

        Raises:
            UsageError: it cannot; the message gives the reason.
        """
        reason = self.cannot.get(ability)
        if reason is None and ability == "inspect" and not self.panels:
            reason = "its record names no panels"
        if reason is not None:
            raise UsageError(f"{self.name} cannot {ability}: {reason}.")


_SYSTEMS: dict[str, System] = {}


def register(system: System) -> System:
    """Add a system; it replaces one with the same meta-architecture."""
    _SYSTEMS[system.meta_architecture] = system
    keys = (system.add_config, system.key_ranges, system.training_keys, system.samples, system.key_words)
    register_keys(system.meta_architecture, *keys)
    return system


def systems() -> tuple[System, ...]:
    """All systems, in the order of their registration."""
    return tuple(_SYSTEMS.values())


def system_of(cfg: CfgNode) -> System:
    """The system of a configuration.

    Raises:
        UsageError: MODEL.META_ARCHITECTURE belongs to no system.
    """
    name = cfg.MODEL.META_ARCHITECTURE
    if name not in _SYSTEMS:
        raise UsageError(
            f"MODEL.META_ARCHITECTURE = {short(name)!r} is not a system of errseg; there are {', '.join(_SYSTEMS)}."
        )
    return _SYSTEMS[name]


def system_of_model(model: nn.Module) -> System:
    """The system of a model: the meta-architecture is the model's class or one of its base classes.

    Raises:
        UsageError: the model belongs to no system.
    """
    for kind in type(model).__mro__:
        if kind.__name__ in _SYSTEMS:
            return _SYSTEMS[kind.__name__]
    raise UsageError(f"A {type(model).__name__} belongs to no system of errseg; there are {', '.join(_SYSTEMS)}.")
