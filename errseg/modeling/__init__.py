"""ERR-Seg's model: one file per module of the paper. Importing this registers the parts with Detectron2."""

import logging

import torch
from detectron2.modeling import BACKBONE_REGISTRY, META_ARCH_REGISTRY, SEM_SEG_HEADS_REGISTRY
from detectron2.modeling import build_model as build_detectron2_model
from torch import nn

from ..config import check_values
from ..errors import UsageError, short
from .clip.build import RANDOM
from .clip.encoder import ConvNeXtCLIP, ViTCLIP
from .err_seg.head import ERRSegHead
from .err_seg.model import ERRSeg
from .weights import WeightSources

__all__ = ["ConvNeXtCLIP", "ERRSeg", "ERRSegHead", "ViTCLIP", "build_model", "check_device"]

logger = logging.getLogger(__name__)


def build_model(cfg) -> nn.Module:
    """The model of a configuration, on its device, with CLIP's weights (``MODEL.CLIP.PRETRAINED``) and a random head.

    It is in evaluation mode, ready to predict.

    Raises:
        UsageError: ``MODEL.DEVICE`` asks for a GPU and there is none.
        UsageError: a key has a value that no model can be built from; the message names both.
    """
    check_values(cfg)
    _check_registered(cfg)
    check_device(cfg.MODEL.DEVICE)
    model = build_detectron2_model(cfg)
    sources = WeightSources.of(model)
    logger.info(sources.describe(model))
    if sources["CLIP image tower"].startswith(RANDOM) and not cfg.MODEL.WEIGHTS:
        logger.warning(
            "CLIP's weights are RANDOM and know no names, unless a checkpoint follows; see MODEL.CLIP.PRETRAINED."
        )
    return model.eval()


def check_device(device: str) -> None:
    """Raise UsageError where ``device`` (MODEL.DEVICE) is none of torch's, or asks for a GPU that is not there."""
    try:
        kind = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"MODEL.DEVICE = {short(device)!r} is no device of torch; give cpu or cuda:0.") from error
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"MODEL.DEVICE = {device!r}, but torch sees no GPU; add 'MODEL.DEVICE cpu' to run on the CPU.")
    if kind.type == "cuda" and (kind.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"MODEL.DEVICE = {device!r}, but this machine has {torch.cuda.device_count()} GPUs.")


def _check_registered(cfg) -> None:
    """Raise UsageError where a part of the model has a name that nothing is registered under."""
    for key, name, registry in (
        ("MODEL.META_ARCHITECTURE", cfg.MODEL.META_ARCHITECTURE, META_ARCH_REGISTRY),
        ("MODEL.BACKBONE.NAME", cfg.MODEL.BACKBONE.NAME, BACKBONE_REGISTRY),
        ("MODEL.SEM_SEG_HEAD.NAME", cfg.MODEL.SEM_SEG_HEAD.NAME, SEM_SEG_HEADS_REGISTRY),
    ):
        if name not in registry:
            known = ", ".join(sorted(known for known, _ in registry))
            raise UsageError(f"{key} = {short(name)!r} is not registered; there are {known}.")
