"""Check everything that a resumed run loads beside the model, before any of it is loaded."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError
from ..weight_files.fit import tensor_fault

__all__ = ["check_optimizer", "check_trainer"]

STATES = {  # the values that an optimizer must keep, and may keep, for each parameter
    torch.optim.AdamW: ({"step", "exp_avg", "exp_avg_sq"}, {"max_exp_avg_sq"}),
    torch.optim.Adam: ({"step", "exp_avg", "exp_avg_sq"}, {"max_exp_avg_sq"}),
    torch.optim.SGD: (set(), {"momentum_buffer"}),
}
SQUARES = ("exp_avg_sq", "max_exp_avg_sq")
SCHEDULED = ("lr", "nesterov")  # options that the configuration may have changed since
IMPLEMENTATIONS = ("foreach", "fused")  # options that choose an implementation of the same formula
SCHEDULE = "LRScheduler"  # the hook that keeps the learning rate's schedule
LARGEST = 2**53  # whole number that is accepted

logger = logging.getLogger(__name__)


class _Fault(ValueError):
    """A fault; its message is a clause that begins with the place in the file."""


def check_trainer(path: str, state: Any, own: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> None:
    """Refuse the state of a trainer in a checkpoint, if this run's trainer cannot continue from it.

    Args:
        path: of the checkpoint.
        state: from the checkpoint.
        own: the state of this run's trainer; ``state`` must have the same structure.
        optimizer: the trainer's.

    Raises:
        UsageError: a value is missing, is not finite, or differs from the trainer's in type, shape or number.
    """
    try:
        _check_iteration(_dict(state, "trainer"), "trainer")
        inner = _dict(_item(state, "_trainer", "trainer"), "trainer._trainer")
        _check_iteration(inner, "trainer._trainer")
        _check_optimizer(_item(inner, "optimizer", "trainer._trainer"), optimizer, "trainer._trainer.optimizer")
        if "grad_scaler" in inner and "grad_scaler" in own["_trainer"]:
            _check_scaler(inner["grad_scaler"], own["_trainer"]["grad_scaler"])
        hooks = _dict(state.get("hooks", {}), "trainer.hooks")
        if SCHEDULE in own.get("hooks", {}):
            _check_like(_item(hooks, SCHEDULE, "trainer.hooks"), own["hooks"][SCHEDULE], f"trainer.hooks.{SCHEDULE}")
        if "seed" in own:
            _check_whole(_item(state, "seed", "trainer"), "trainer.seed")
    except _Fault as error:
        raise _refusal(path, error) from error


def check_optimizer(path: str, name: str, state: Any, optimizer: torch.optim.Optimizer) -> None:
    """Refuse the state of an optimizer in a checkpoint, if it does not fit this optimizer; see ``check_trainer``."""
    try:
        _check_optimizer(state, optimizer, name)
    except _Fault as error:
        raise _refusal(path, error) from error


def _refusal(path: str, error: _Fault) -> UsageError:
    return UsageError(
        f"{path} cannot be resumed from: {error}; write the name of an earlier checkpoint into last_checkpoint, or "
        "start a new run without --resume, with MODEL.WEIGHTS."
    )


def _check_optimizer(state: Any, optimizer: torch.optim.Optimizer, where: str) -> None:
    state = _dict(state, where)
    groups, own_groups = _item(state, "param_groups", where), optimizer.state_dict()["param_groups"]
    if not isinstance(groups, list) or len(groups) != len(own_groups):
        raise _Fault(f"{where}.param_groups must be {len(own_groups)} groups, as this run's optimizer has")
    parameters: dict[int, Tensor] = {}
    for index, (group, own) in enumerate(zip(groups, own_groups, strict=True)):
        place = f"{where}.param_groups[{index}]"
        numbers, tensors = _item(_dict(group, place), "params", place), optimizer.param_groups[index]["params"]
        if not isinstance(numbers, list) or len(numbers) != len(tensors):
            raise _Fault(f"{place}.params must be {len(tensors)} numbers, of this run's parameters")
        for number, tensor in zip(numbers, tensors, strict=True):
            _check_whole(number, f"{place}.params")
            if number in parameters:
                raise _Fault(f"{place}.params has the number {number} twice")
            parameters[number] = tensor
        for key, like in own.items():
            if key != "params":
                _check_option(group, key, like, place)
    _check_states(_dict(_item(state, "state", where), f"{where}.state"), parameters, optimizer, f"{where}.state")


def _check_option(group: Mapping[str, Any], key: str, like: Any, place: str) -> None:
    """Check an option of a parameter group. Switches may be missing, as they are in files of older torch versions."""
    switch = like is None or isinstance(like, bool)
    if key not in group and not switch:
        raise _Fault(f"{place} has no {key!r}, which this run's optimizer has: the state is another optimizer's")
    value = group.get(key, like)
    if key in IMPLEMENTATIONS:
        if value is not None and not isinstance(value, bool):
            raise _Fault(f"{place}.{key} is {_short(value)} in place of true, false or nothing")
    elif switch and key not in SCHEDULED and (value or None) != (like or None):
        raise _Fault(f"{place}.{key} is {_short(value)} where this run has {like}")
    else:
        _check_like(value, like, f"{place}.{key}")


def _check_states(
    states: dict[Any, Any], parameters: Mapping[int, Tensor], optimizer: torch.optim.Optimizer, where: str
) -> None:
    needed, possible = next((keys for kind, keys in STATES.items() if isinstance(optimizer, kind)), (set(), None))
    owners: dict[int, str] = {}
    for number, state in states.items():
        place = f"{where}[{_short(number)}]"
        if number not in parameters or isinstance(number, bool):
            raise _Fault(f"{place} belongs to none of the parameters")
        for key in sorted(needed - _dict(state, place).keys()):
            raise _Fault(f"{place} has no {key!r}")
        for key, value in state.items():
            if possible is not None and key not in needed | possible:
                raise _Fault(f"{place} has {_short(key)}, which this run's optimizer does not have")
            _check_alone(value, f"{place}.{key}", owners)
            _check_state(value, key, parameters[number], f"{place}.{key}", strict=possible is not None)
    if states and len(states) < len(parameters):
        logger.warning(
            "The checkpoint has the optimizer's state of %d of %d parameters; the others begin anew.",
            len(states),
            len(parameters),
        )


def _check_state(value: Any, key: str, parameter: Tensor, place: str, strict: bool) -> None:
    """Check one value that an optimizer keeps for a parameter."""
    if not isinstance(value, Tensor):
        if key == "step" or not strict:
            _check_like(value, 0.0 if isinstance(value, float) else 0 if key == "step" else value, place)
        elif value is not None or key != "momentum_buffer":
            raise _Fault(f"{place} is {_short(value)} in place of a tensor")
        return
    shape = torch.Size(()) if key == "step" else parameter.shape
    if strict and value.shape != shape:
        raise _Fault(f"{place} has the shape {tuple(value.shape)} in place of {tuple(shape)}")
    fault = tensor_fault(value, torch.float32 if strict else value.dtype)
    if fault:
        raise _Fault(f"{place} {fault}")
    if strict and key in ("step", *SQUARES) and value.numel() and value.min() < 0:
        raise _Fault(f"{place} has negative values")


def _check_alone(value: Any, place: str, owners: dict[int, str]) -> None:
    """Refuse a tensor that shares memory with another one, or within itself: updates in place would corrupt it."""
    if isinstance(value, Tensor) and value.numel():
        storage = value.untyped_storage()
        other = owners.setdefault(storage.data_ptr(), place)
        if other != place or value.numel() * value.element_size() > storage.nbytes():
            raise _Fault(f"{place} shares its values with {other}")


def _check_scaler(state: Any, own: Mapping[str, Any]) -> None:
    where = "trainer._trainer.grad_scaler"
    _check_like(state, own, where)
    for key in ("scale", "growth_factor", "backoff_factor"):
        if key in own and state[key] <= 0:
            raise _Fault(f"{where}.{key} is {state[key]}, not a positive number")


def _check_like(value: Any, like: Any, where: str) -> None:
    """Refuse a value that differs from this run's own in type, keys, length or sign, or that is not finite."""
    if isinstance(like, Mapping):
        for key, inner in like.items():
            _check_like(_item(_dict(value, where), key, where), inner, f"{where}.{key}")
    elif isinstance(like, (list, tuple)):
        if not isinstance(value, (list, tuple)) or len(value) != len(like):
            raise _Fault(f"{where} is {_short(value)} in place of {len(like)} values")
        for index, (one, inner) in enumerate(zip(value, like, strict=True)):
            _check_like(one, inner, f"{where}[{index}]")
    elif isinstance(like, Tensor):
        if not isinstance(value, Tensor) or value.shape != like.shape:
            raise _Fault(f"{where} is {_short(value)} in place of a tensor of the shape {tuple(like.shape)}")
        if fault := tensor_fault(value, like.dtype):
            raise _Fault(f"{where} {fault}")
    elif isinstance(like, (bool, str)):
        if type(value) is not type(like):
            raise _Fault(f"{where} is {_short(value)} in place of a {type(like).__name__}")
    elif isinstance(like, (int, float)):
        kinds = (int,) if isinstance(like, int) else (int, float)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise _Fault(f"{where} is {_short(value)} in place of a number")
        if (abs(value) > LARGEST if isinstance(value, int) else not math.isfinite(value)) or value < 0 <= like:
            raise _Fault(f"{where} is {_short(value)}, which is out of range")


def _check_iteration(state: Mapping[str, Any], where: str) -> None:
    _check_whole(_item(state, "iteration", where), f"{where}.iteration")


def _check_whole(value: Any, where: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        raise _Fault(f"{where} is {_short(value)} in place of a whole number from 0 on")


def _dict(value: Any, where: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise _Fault(f"{where} is {_short(value)} in place of a dictionary")
    return value


def _item(state: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in state:
        raise _Fault(f"{where} has no {key!r}")
    return state[key]


def _short(value: Any) -> str:
    if isinstance(value, (dict, list, tuple, set, Tensor)):
        return f"a {'tensor' if isinstance(value, Tensor) else type(value).__name__}"
    return repr(value)[:60]
