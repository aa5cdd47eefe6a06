"""The recipe's parameter groups, optimizer and gradient clipping."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import nn

from errseg.errors import UsageError
from errseg.modeling import system_of

__all__ = ["build_gradient_clipper", "build_optimizer", "parameter_groups"]

_NORMS = (
    nn.modules.batchnorm._NormBase,  # batch and instance norms of any dimension
    nn.GroupNorm,
    nn.LayerNorm,
    nn.LocalResponseNorm,
    nn.RMSNorm,
)


def parameter_groups(
    model: nn.Module,
    base_lr: float,
    factors: Mapping[str, float],
    weight_decay: float,
    weight_decay_norm: float,
    weight_decay_embed: float,
) -> list[dict[str, Any]]:
    """Every trainable parameter once, in groups.

    There are at most three groups for each of ``factors``, and three for all other parameters: one for normalisation
    layers, one for embeddings, and one for the rest.

    Args:
        model: the model.
        base_lr: learning rate of the parameters without a factor.
        factors: factors of the learning rate, by the beginning of parameter names. The first that fits counts.
        weight_decay: for all parameters outside normalisation layers and embeddings.
        weight_decay_norm: for the scales and shifts of normalisation layers.
        weight_decay_embed: for the weights of ``nn.Embedding``.
    """
    norms, embeddings = _parameters_of(model, _NORMS), _parameters_of(model, nn.Embedding)
    decays = {"norm": weight_decay_norm, "embedding": weight_decay_embed, "other": weight_decay}
    groups: dict[tuple[str | None, str], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():  # a shared parameter is named once
        if not parameter.requires_grad:
            continue
        part = next((prefix for prefix in factors if name.startswith(prefix)), None)
        kind = "norm" if id(parameter) in norms else "embedding" if id(parameter) in embeddings else "other"
        group = groups.setdefault(
            (part, kind),
            {
                "params": [],
                "lr": base_lr if part is None else base_lr * factors[part],
                "weight_decay": decays[kind],
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


def _parameters_of(model: nn.Module, kinds: type | tuple[type, ...]) -> set[int]:
    """The ids of the parameters that modules of some types hold themselves."""
    modules = (module for module in model.modules() if isinstance(module, kinds))
    return {id(parameter) for module in modules for parameter in module.parameters(recurse=False)}


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer that SOLVER.OPTIMIZER names, AdamW or SGD, over ``parameter_groups``.

    The learning rates are those of the system's record.

    Raises:
        UsageError: SOLVER.OPTIMIZER names another optimizer, or the model has no trainable parameter.
    """
    solver = cfg.SOLVER
    factors = system_of(cfg).learning_rates(cfg)
    decays = (solver.WEIGHT_DECAY, solver.WEIGHT_DECAY_NORM, solver.WEIGHT_DECAY_EMBED)
    groups = parameter_groups(model, solver.BASE_LR, factors, *decays)
    if not groups:
        raise UsageError(
            "The model has no trainable parameter; enable one of its modules, MODEL.CLIP.FINETUNE_*, or, to train the "
            "prompt, MODEL.PROMPT.LEARNED."
        )
    logger = logging.getLogger(__name__)
    for group in groups:
        logger.info(
            "%d tensors of %.2f M parameters: learning rate %g, weight decay %g",
            len(group["params"]),
            sum(p.numel() for p in group["params"]) / 1e6,
            group["lr"],
            group["weight_decay"],
        )
    if solver.OPTIMIZER == "AdamW":
        return torch.optim.AdamW(groups, solver.BASE_LR, fused=True)
    if solver.OPTIMIZER == "SGD":
        return torch.optim.SGD(groups, solver.BASE_LR, momentum=solver.MOMENTUM, nesterov=solver.NESTEROV)
    raise UsageError(f"SOLVER.OPTIMIZER is {solver.OPTIMIZER!r}; choose AdamW or SGD.")


def build_gradient_clipper(cfg: CfgNode) -> Callable[[Iterable[nn.Parameter]], None]:
    """A function that clips the gradients of parameters in place, as SOLVER.CLIP_GRADIENTS says.

    CLIP_TYPE is Detectron2's ``value`` (clip each element), Detectron2's ``norm`` (clip the norm of each parameter), or
    ``full_model`` (clip the norm of all parameters together).

    Raises:
        UsageError: CLIP_TYPE has another value.
    """
    clip = cfg.SOLVER.CLIP_GRADIENTS
    value, norm_type = clip.CLIP_VALUE, clip.NORM_TYPE

    def clip_each_norm(parameters: Iterable[nn.Parameter]) -> None:
        for parameter in parameters:
            nn.utils.clip_grad_norm_(parameter, value, norm_type)

    if not clip.ENABLED:
        return lambda parameters: None
    if clip.CLIP_TYPE == "value":
        return lambda parameters: nn.utils.clip_grad_value_(parameters, value)
    if clip.CLIP_TYPE == "norm":
        return clip_each_norm
    if clip.CLIP_TYPE == "full_model":
        return lambda parameters: nn.utils.clip_grad_norm_(parameters, value, norm_type)
    raise UsageError(f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE is {clip.CLIP_TYPE!r}; choose value, norm or full_model.")
