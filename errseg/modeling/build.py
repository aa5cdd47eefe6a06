"""Build a model and load its weights. No other place in errseg does this."""

import logging
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import BACKBONE_REGISTRY, META_ARCH_REGISTRY, SEM_SEG_HEADS_REGISTRY
from detectron2.modeling import build_model as build_detectron2_model
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..config import check_values, unread_keys
from ..errors import UsageError, arguments_from, short
from ..weight_files import check_fit, load_state_dict_file
from .clip import RANDOM, has_quick_gelu, model_config
from .segmenter import OpenVocabularySegmenter
from .system import Released, system_of, systems
from .weights import WeightSources

__all__ = ["build", "build_model", "build_on_meta", "check_device", "load_weights", "released_of"]

logger = logging.getLogger(__name__)


def build(cfg: CfgNode, weights: str | None = None, device: str | None = None) -> OpenVocabularySegmenter:
    """The model of a configuration, in evaluation mode, with weights.

    Its attribute ``weight_sources`` names the source of each part's weights.

    Args:
        cfg: the configuration; it is not changed.
        weights: a checkpoint of errseg or a released one; both hold CLIP's weights too. "" or None: CLIP's weights are
            those of ``MODEL.CLIP.PRETRAINED``, and the other weights are random.
        device: a device of torch; None: ``MODEL.DEVICE``.

    Raises:
        UsageError: there is no such device; a key has an invalid value; the checkpoint is missing, damaged, or does
            not fit the model.
    """
    if weights or device is not None:
        cfg = cfg.clone()
        cfg.defrost()
        cfg.MODEL.WEIGHTS = weights or cfg.MODEL.WEIGHTS
        cfg.MODEL.CLIP.PRETRAINED = "" if weights else cfg.MODEL.CLIP.PRETRAINED
        cfg.MODEL.DEVICE = cfg.MODEL.DEVICE if device is None else device
    if not weights:
        return build_model(cfg)
    with NoRandomWeights():
        model = build_model(cfg)
    load_weights(model, weights)
    return model


class NoRandomWeights(TorchFunctionMode):
    """A context in which new weights keep the values that their memory had: a checkpoint replaces all of them next.

    Drawing random values takes most of the time of building a large model.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in ("kaiming_normal_", "kaiming_uniform_", "normal_", "uniform_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def build_model(cfg: CfgNode) -> OpenVocabularySegmenter:
    """The model of a configuration, on its device, with CLIP's weights (``MODEL.CLIP.PRETRAINED``) and a random head.

    It is in evaluation mode, ready to predict.

    Raises:
        UsageError: ``MODEL.DEVICE`` asks for a GPU and there is none.
        UsageError: a key has an invalid value; the message names key and value.
    """
    check_values(cfg)
    _check_registered(cfg)
    _check_backbone(cfg)
    _warn_of_unread_keys(cfg)
    check_device(cfg.MODEL.DEVICE)
    with arguments_from(**system_of(cfg).argument_keys):
        model = build_detectron2_model(cfg)
    with arguments_from("MODEL"):
        if model.precision != cfg.MODEL.PRECISION:  # of a system that does not read the key itself
            model.set_precision(cfg.MODEL.PRECISION)
    model.weight_sources = WeightSources.of(model)
    logger.info(model.weight_sources.describe(model))
    if model.weight_sources.clip.startswith(RANDOM) and not cfg.MODEL.WEIGHTS:
        logger.warning(
            "CLIP's weights are RANDOM and know no names, unless a checkpoint follows; see MODEL.CLIP.PRETRAINED."
        )
    return model.eval()


def build_on_meta(cfg: CfgNode) -> OpenVocabularySegmenter:
    """The model of a configuration on the ``meta`` device: shapes without weights, in evaluation mode."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = "meta"
    cfg.MODEL.CLIP.PRETRAINED = ""
    with torch.device("meta"), arguments_from(**system_of(cfg).argument_keys):
        return build_detectron2_model(cfg).eval()


def load_weights(model: OpenVocabularySegmenter, path: str) -> None:
    """Load a checkpoint's weights, ours or released ones, strictly.

    Raises:
        UsageError: the file is missing or damaged, or does not fit the model; the message names keys.
    """
    weights = load_state_dict_file(path, model.state_dict().keys())["model"]
    model.load_state_dict(fitting_weights(path, weights, model))
    note_checkpoint(model, path, released_of(weights) is not None)


def fitting_weights(path: str, weights: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The weights of a checkpoint under the model's names, after a check that they fit the model.

    Args:
        path: the path of the checkpoint, for messages.
        weights: its state dict, under errseg's names or released ones.
        model: the model that they are for.

    Raises:
        UsageError: they do not fit; or they fit, but were trained with another activation than the model's.
    """
    released, clip = released_of(weights), None
    if released is not None:
        cfg = released.config(weights)
        clip = None if cfg is None else cfg.MODEL.CLIP.NAME
        try:
            weights = released.from_released(weights)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error
    remedy = "use the configuration it was trained with, or, for a CLIP model's weights, MODEL.CLIP.PRETRAINED"
    check_fit(weights, model.state_dict(), f"MODEL.WEIGHTS = {path!r}", remedy)
    if clip is not None and bool(model_config(clip).get("quick_gelu")) != has_quick_gelu(model):
        raise UsageError(
            f"MODEL.WEIGHTS = {path!r} are released weights for MODEL.CLIP.NAME = {clip!r}, and the configured model "
            "computes with another activation (GELU or QuickGELU), so that they would fit and give wrong results; set "
            "that name."
        )
    return weights


def note_checkpoint(model: OpenVocabularySegmenter, path: str, released: bool = False) -> None:
    """Record in ``model.weight_sources``, and in the log, that all weights are from one file, released or not."""
    model.weight_sources = WeightSources.checkpoint(model, path, released)
    logger.info(model.weight_sources.describe(model))


def released_of(state_dict: dict[str, Tensor]) -> Released | None:
    """The kind of released checkpoint of a state dict; None where it is not a released checkpoint."""
    kinds = [system.released for system in systems() if system.released is not None]
    return next((kind for kind in kinds if kind.recognises(state_dict)), None)


def check_device(device: str) -> None:
    """Raise UsageError where ``device`` (MODEL.DEVICE) is no device of torch, or is a GPU that does not exist."""
    try:
        kind = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"MODEL.DEVICE = {short(device)!r} is no device of torch; give cpu or cuda:0.") from error
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"MODEL.DEVICE = {device!r}, but torch sees no GPU; add 'MODEL.DEVICE cpu' to run on the CPU.")
    if kind.type == "cuda" and (kind.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"MODEL.DEVICE = {device!r}, but this machine has {torch.cuda.device_count()} GPUs.")


def _check_registered(cfg: CfgNode) -> None:
    """Raise UsageError where a key of the model's parts names a class that is not registered."""
    for key, name, registry in (
        ("MODEL.META_ARCHITECTURE", cfg.MODEL.META_ARCHITECTURE, META_ARCH_REGISTRY),
        ("MODEL.BACKBONE.NAME", cfg.MODEL.BACKBONE.NAME, BACKBONE_REGISTRY),
        ("MODEL.SEM_SEG_HEAD.NAME", cfg.MODEL.SEM_SEG_HEAD.NAME, SEM_SEG_HEADS_REGISTRY),
    ):
        if name not in registry:
            known = ", ".join(sorted(known for known, _ in registry))
            raise UsageError(f"{key} = {short(name)!r} is not registered; there are {known}.")


def _warn_of_unread_keys(cfg: CfgNode) -> None:
    """Name the keys of other systems that somebody has set: they have no effect."""
    unread = [f"{key} = {short(repr(value))}" for key, value in unread_keys(cfg).items()]
    if unread:
        logger.warning("%s does not read these keys, which have no effect: %s.", system_of(cfg).name, ", ".join(unread))


def _check_backbone(cfg: CfgNode) -> None:
    """Raise UsageError where MODEL.BACKBONE.NAME names the encoder of another system."""
    system, kind = system_of(cfg), BACKBONE_REGISTRY.get(cfg.MODEL.BACKBONE.NAME)
    if system.backbones and not (isinstance(kind, type) and issubclass(kind, system.backbones)):
        fitting = " or ".join(each.__name__ for each in system.backbones)
        raise UsageError(
            f"MODEL.BACKBONE.NAME = {cfg.MODEL.BACKBONE.NAME!r} is no encoder of {system.name}; give {fitting}."
        )
