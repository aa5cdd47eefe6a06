"""Check that a state dict fits a model: that its names, shapes, types and values are right."""

from collections.abc import Mapping

import torch
from torch import Tensor

from .errors import NotWeights

__all__ = ["check_fit", "tensor_fault"]


def check_fit(weights: Mapping[str, Tensor], own: Mapping[str, Tensor], what: str, remedy: str) -> None:
    """Refuse weights that do not fit a model: nothing is loaded from a file with a fault.

    Args:
        weights: the state dict from a file.
        own: the model's state dict.
        what: begins the message, and names the file.
        remedy: ends the message where names or shapes are those of another model.

    Raises:
        NotWeights: names are missing or unknown; or a tensor is not dense, has another shape, has numbers of another
            kind than the model's (floats, integers, booleans), is not finite, or is too large for the model's type.
    """
    problems = {
        "missing": [name for name in own if name not in weights],
        "unknown": [name for name in weights if name not in own],
        "of another shape": [name for name in own if name in weights and own[name].shape != weights[name].shape],
    }
    if any(problems.values()):
        listed = "; ".join(
            f"{len(names)} {problem} ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"
            for problem, names in problems.items()
            if names
        )
        raise NotWeights(f"{what} does not fit the configured model: keys {listed}; {remedy}.")
    faults = {name: fault for name, value in weights.items() if (fault := tensor_fault(value, own[name].dtype))}
    if faults:
        name, fault = next(iter(faults.items()))
        more = f", and {len(faults) - 1} more tensors have faults" if len(faults) > 1 else ""
        raise NotWeights(f"{what}: {name!r} {fault}{more}; get or train the weights again.")


def tensor_fault(value: Tensor, dtype: torch.dtype) -> str | None:
    """What is wrong with a tensor whose values are to become ``dtype``, as a predicate; None where nothing is."""
    if value.layout != torch.strided or value.is_quantized or value.is_meta or value.is_nested:
        layout = "quantized" if value.is_quantized else "without values" if value.is_meta else "not dense"
        return f"is {layout}, where the model has plain numbers"
    if _kind(value.dtype) != _kind(dtype) or value.dtype.itemsize < 2 and dtype.is_floating_point:
        return f"is {_name(value.dtype)} where the model has {_name(dtype)}"
    if not dtype.is_floating_point or not value.numel():
        return None
    low, high = (x.item() for x in torch.aminmax(value))
    limit = torch.finfo(dtype).max
    if -limit <= low and high <= limit:
        return None
    exact = value.double()
    bad = value.numel() - int(((exact >= -limit) & (exact <= limit)).sum())
    return f"has {bad} of {value.numel()} values that are NaN, infinite or too large for {_name(dtype)}"


def _kind(dtype: torch.dtype) -> str:
    if dtype.is_complex:
        return "complex"
    return "floats" if dtype.is_floating_point else "booleans" if dtype == torch.bool else "integers"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
