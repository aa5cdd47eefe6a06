"""Multiply-adds of a model, counted as the paper does: attention products included, text embeddings precomputed.

Nothing is computed: the model runs on the ``meta`` device.
"""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .modeling import ERRSeg


def count_macs(cfg, num_names: int, num_classes: int) -> dict[str, float]:
    """Multiply-adds for one image at the test resolution, in units of 10^9.

    Args:
        cfg: the configuration of the model.
        num_names: T.
        num_classes: K.

    Returns:
        "total", the whole model from pixels to logits; "escf_layers", ESCF's layers alone (Table X).
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = "meta"
    cfg.MODEL.CLIP.PRETRAINED = ""
    size = cfg.INPUT.RESOLUTION_TEST
    with torch.device("meta"), torch.no_grad():
        model = ERRSeg(cfg).eval()
        text = torch.empty(num_names, model.backbone.embed_dim)
        counter, layers = FlopCounterMode(display=False), _InsideLayers(model)
        with counter:
            layers.watch(counter)
            model.sem_seg_head(model.backbone(torch.empty(1, 3, size, size)), text, num_classes)
    return {"total": counter.get_total_flops() / 2e9, "escf_layers": layers.flops / 2e9}


class _InsideLayers:
    """Sums what a counter counts between the entry and the exit of each of ESCF's layers."""

    def __init__(self, model: nn.Module):
        self.layers = getattr(model.sem_seg_head.escf, "layers", [])
        self.flops = 0

    def watch(self, counter: FlopCounterMode) -> None:
        def enter(*_) -> None:
            self.flops -= counter.get_total_flops()

        def leave(*_) -> None:
            self.flops += counter.get_total_flops()

        for layer in self.layers:
            layer.register_forward_pre_hook(enter)
            layer.register_forward_hook(leave)
