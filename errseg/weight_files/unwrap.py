"""Take a model's weights out of the wrappers that training code and other tools put around them."""

import logging
from collections.abc import Collection, Mapping
from typing import Any

import torch

from .errors import NotWeights

__all__ = ["unwrap"]

PLAIN = ("model", "state_dict", "model_state_dict", "model_state", "module", "_orig_mod", "net", "network", "weights")
PLAIN += ("params", "checkpoint", "segmentor")
AVERAGED = ("ema", "model_ema", "ema_model", "ema_state_dict", "state_dict_ema", "model_state_dict_ema", "params_ema")
PAIRED = ("student", "teacher")  # neither of them is the plain model
WRAPPERS = (*PLAIN, *AVERAGED, *PAIRED)
INNER = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")  # within names: of wrapped sub-modules
COUNTER = "n_averaged"  # torch's AveragedModel has it beside the weights
MOST_LEVELS = 8

logger = logging.getLogger(__name__)


def unwrap(content: Any, path: str, expected: Collection[str] = ()) -> dict[str, Any]:
    """The state dict in the content of a file, under "model", with the entries beside it under their own names.

    Dictionaries around the weights, and prefixes of their names, are removed in any order. Of several sets of weights,
    the plain model's is taken, not an average (EMA). The log tells what was removed and which set was taken.

    Args:
        content: what was read.
        path: of the file, for messages.
        expected: names in the model: weights with one of these names are taken as they are.

    Raises:
        NotWeights: there are no weights, or several sets of which none is the plain model's; a name is no string, or a
            value no tensor.
    """
    if not isinstance(content, dict):
        raise NotWeights(
            f"{path} holds a {type(content).__name__}, not a checkpoint; give a file with a dictionary of tensors."
        )
    weights, beside, steps = content, {}, []
    while len(steps) < MOST_LEVELS and not _fits(weights, expected):
        sets = _sets(weights, path, outermost=not steps)
        if not sets:
            break
        name = _choose(sets, path)
        if weights is content and name in content:
            beside = {key: value for key, value in content.items() if key != name and isinstance(key, str)}
        steps.append(name)
        weights = sets[name]
    weights = _without_inner(weights, expected)
    if steps and steps != ["model"]:
        logger.info("%s: the weights are those under %s.", path, " / ".join(map(repr, steps)))
    _check_values(weights, path)
    return {**beside, "model": weights}


def _check_values(weights: Mapping[Any, Any], path: str) -> None:
    if not any(isinstance(value, torch.Tensor) for value in weights.values()):
        raise NotWeights(f"{path} holds no tensors where a checkpoint has its weights; give a file of weights.")
    for name, value in weights.items():
        if not isinstance(name, str):
            raise NotWeights(f"{path} has a name of weights that is no string, {str(name)[:80]!r}; give another file.")
        if not isinstance(value, torch.Tensor):
            raise NotWeights(
                f"{path}: {name!r} is of the type {_kind(value)}, not a tensor; write the file without it."
            )


def _fits(weights: Mapping[Any, Any], expected: Collection[str]) -> bool:
    return any(name in weights for name in expected)


def _sets(content: Mapping[Any, Any], path: str, outermost: bool) -> dict[str, dict[Any, Any]]:
    """The sets of weights in a dictionary, by name; empty where the dictionary is itself a set of weights."""
    nested = {key: value for key, value in content.items() if isinstance(value, dict) and _holds_weights(value)}
    if nested:
        named = {key: value for key, value in nested.items() if key in WRAPPERS}
        return named or nested
    if outermost and "model" in content and not isinstance(content["model"], dict):
        raise NotWeights(
            f"{path}: 'model' is of the type {_kind(content['model'])}, not a dictionary of tensors; give a file of "
            "weights."
        )
    groups: dict[str, dict[str, Any]] = {}
    for name, value in content.items():
        prefix, dot, rest = name.partition(".") if isinstance(name, str) else ("", "", "")
        if dot and prefix in WRAPPERS:
            groups.setdefault(prefix, {})[rest] = value
        elif name != COUNTER:
            return {}
    return groups


def _holds_weights(value: Mapping[Any, Any], levels: int = 4) -> bool:
    """Whether a dictionary holds tensors, directly or in inner dictionaries with the names of wrappers."""
    for key, inner in value.items():
        if isinstance(inner, torch.Tensor):
            return True
        if levels and key in WRAPPERS and isinstance(inner, dict) and _holds_weights(inner, levels - 1):
            return True
    return False


def _choose(sets: Mapping[str, Any], path: str) -> str:
    """The name of the set of weights to take."""
    plain = [name for name in sets if name in PLAIN] or [name for name in sets if name not in AVERAGED]
    chosen = plain or list(sets)
    if len(chosen) > 1:
        raise NotWeights(
            f"{path} holds several sets of weights, {' and '.join(map(repr, chosen))}; write the one that you want, in "
            f"Python: torch.save(torch.load({path!r}, weights_only=True)[{chosen[0]!r}], 'weights.pth')."
        )
    others = [name for name in sets if name != chosen[0]]
    if others:
        logger.warning("%s holds several sets of weights; %r is taken, not %s.", path, chosen[0], ", ".join(others))
    return chosen[0]


def _without_inner(weights: dict[Any, Any], expected: Collection[str]) -> dict[Any, Any]:
    """The weights under names without the wrappers of sub-modules (``INNER``)."""
    if not any(wrapper in str(name) for name in weights for wrapper in INNER):
        return weights
    renamed: dict[Any, Any] = {}
    for name, value in weights.items():
        short = name
        if isinstance(name, str) and name not in expected:
            for wrapper in INNER:
                short = short.replace(wrapper, "")
        renamed[name if short in weights or short in renamed else short] = value
    return renamed


def _kind(value: Any) -> str:
    return "tensor" if isinstance(value, torch.Tensor) else type(value).__name__
