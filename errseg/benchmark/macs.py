"""Count the multiply-adds of a model as papers do: with attention products, with precomputed text embeddings.

The model runs on the ``meta`` device, so nothing is computed.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..modeling import build_on_meta, system_of
from .models import text_shape

__all__ = ["count_macs", "count_text_macs"]


def count_macs(cfg: CfgNode, num_names: int, num_classes: int, form: str = "fast", side: int = 0) -> dict[str, float]:
    """Multiply-adds for one image at the test resolution, of all its views, in units of 10^9.

    Args:
        cfg: the configuration of the model.
        num_names: T.
        num_classes: K.
        form: "fast", the model; "plain", its plain form, as counted in ERR-Seg's paper.
        side: of the square picture, in pixels; 0: the test resolution.

    Returns:
        "total": the whole model from pixels to the scores of all names kept. And the parts that are counted separately
        (``System.counted``): for ERR-Seg "escf_layers" (Table X); for DeOP those of its contract's table.
    """
    size, system = side or cfg.INPUT.RESOLUTION_TEST, system_of(cfg)
    model = _model(cfg, form)
    text = torch.empty(text_shape(model, num_names), device="meta")
    views = Counter(view.size for view in model.views.of(size, size))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        apart = _count_apart(counter, system.counted(model))
        totals = dict.fromkeys(("total", *apart), 0)
        before = dict(totals)
        for view, number in views.items():
            images = torch.empty((1, 3, *view), device="meta")
            replace(model.segment(images, text, num_classes), total=None).dense()  # the scores, without confidences
            now = {"total": counter.get_total_flops(), **apart}
            totals = {name: total + number * (now[name] - before[name]) for name, total in totals.items()}
            before = now
    return {name: flops / 2e9 for name, flops in totals.items()}


def count_text_macs(cfg: CfgNode, names: Sequence[str], form: str = "fast") -> float:
    """Multiply-adds of the encoding of names, in units of 10^9; the other arguments as of ``count_macs``."""
    model = _model(cfg, form)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.encode_names(model.tokenize(names))
    return counter.get_total_flops() / 2e9


def _model(cfg: CfgNode, form: str) -> Any:
    model = build_on_meta(cfg).requires_grad_(False)  # the counter fails on views of parameters that require gradients
    return system_of(cfg).plain_form(model) if form == "plain" else model


def _count_apart(counter: FlopCounterMode, modules: Mapping[str, Iterable[nn.Module]]) -> dict[str, int]:
    """The floating-point operations of the modules' calls, by name; the numbers grow while the model runs."""
    counts, before = dict.fromkeys(modules, 0), defaultdict(int)

    def start(module: nn.Module, *_: object) -> None:
        before[module] = counter.get_total_flops()

    for name, some in modules.items():

        def end(module: nn.Module, *_: object, name: str = name) -> None:
            counts[name] += counter.get_total_flops() - before[module]

        for module in some:
            module.register_forward_pre_hook(start)
            module.register_forward_hook(end)
    return counts
