"""Multiply-adds of a model, counted as the paper does: attention products included, text embeddings precomputed.

Nothing is computed: the model runs on the ``meta`` device.
"""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..modeling import build_on_meta
from ..modeling.err_seg.escf import ESCF
from ..modeling.err_seg.plain import PlainForm, fuse_plainly


def count_macs(cfg, num_names: int, num_classes: int, form: str = "fast") -> dict[str, float]:
    """Multiply-adds for one image at the test resolution, in units of 10^9.

    Args:
        cfg: the configuration of the model.
        num_names: T.
        num_classes: K.
        form: "fast", the model; "plain", its plain form, which is what the paper counted.

    Returns:
        "total", the whole model from pixels to logits; "escf_layers", ESCF's layers alone (Table X).
    """
    size = cfg.INPUT.RESOLUTION_TEST
    with torch.device("meta"), torch.no_grad():
        model = build_on_meta(cfg)
        images, text = torch.empty(1, 3, size, size), torch.empty(num_names, model.backbone.embed_dim)
        segment = model.logits if form == "fast" else PlainForm(model).logits
        with FlopCounterMode(display=False) as total:
            segment(images, text, num_classes)
        with FlopCounterMode(display=False) as layers:
            _fuse(model.sem_seg_head.escf, min(num_classes, num_names), size // 16, cfg.MODEL.ESCF.DIM, form)
    return {"total": total.get_total_flops() / 2e9, "escf_layers": layers.get_total_flops() / 2e9}


def _fuse(escf: nn.Module, num_classes: int, side: int, dim: int, form: str) -> Tensor | None:
    """ESCF's layers on a cost embedding and guidances of the right shapes."""
    if not isinstance(escf, ESCF):
        return None
    x, image, text = (
        torch.empty(1, num_classes, side, side, dim),
        torch.empty(1, side, side, dim),
        torch.empty(1, num_classes, dim),
    )
    if form == "fast":
        return escf.fuse(x, image, text)
    return fuse_plainly(escf, x.permute(0, 1, 4, 2, 3), image, text)
