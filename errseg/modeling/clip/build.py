"""Build open_clip models, and load published or local CLIP weights into them."""

import logging
import os
from typing import Any

from huggingface_hub import constants as hub
from torch import nn

from ...errors import UsageError, short
from ...hub import hub_reachable
from ...weight_files import check_fit, read_weight_file, unwrap
from .config import model_config
from .libraries import open_clip

logger = logging.getLogger(__name__)

CLIPModel = Any  # an nn.Module of open_clip; its attributes depend on its configuration
RANDOM = "random"  # the source of weights where nothing was loaded


def build_clip(name: str, drop: float = 0.0, drop_path: float = 0.0) -> CLIPModel:
    """An open_clip model with random weights.

    Args:
        name: a model name of open_clip, or the path of a model configuration in open_clip's format (``*.json``).
        drop: dropout of the projection after a ConvNeXt trunk; replaces the value of the configuration.
        drop_path: stochastic depth of a ConvNeXt trunk; replaces the value of the configuration.

    Raises:
        UsageError: see ``model_config``; or the values do not fit together.
    """
    config = model_config(name)
    if "timm_model_name" in config["vision_cfg"]:
        config["vision_cfg"] |= {"timm_model_pretrained": False, "timm_drop": drop, "timm_drop_path": drop_path}
    try:
        return open_clip.CLIP(**config)
    except Exception as error:  # sizes that do not fit together raise many types, in open_clip, timm or torch
        reason = " ".join(str(error).split())[:300]
        raise UsageError(f"MODEL.CLIP.NAME = {name!r} builds no model ({reason}); correct it.") from error


def load_clip_weights(clip: CLIPModel, name: str, pretrained: str) -> str:
    """Load CLIP weights, strictly, and return their source.

    Args:
        clip: the open_clip model, changed in place.
        name: its ``MODEL.CLIP.NAME``.
        pretrained: an open_clip tag, a local file, or "" for none.

    Returns:
        The source, for the log: the file or the tag; where nothing was loaded, a text that starts with ``RANDOM``.

    Raises:
        UsageError: ``pretrained`` is neither a tag of this model nor a file, or the tag's weights are for another
            activation (QuickGELU or GELU) than the model's, so that they would fit and give wrong results.
        UsageError: the file does not hold the complete and finite weights of this model.
    """
    if not pretrained:
        return f"{RANDOM} (MODEL.CLIP.PRETRAINED is empty)"
    path = pretrained
    if not os.path.isfile(pretrained):
        _check_activation(name, pretrained)
        path = _download(name, pretrained) or ""
        if not path:
            return f"{RANDOM} (open_clip tag {pretrained} could not be reached)"
    key = "MODEL.CLIP.PRETRAINED" if path == pretrained else f"MODEL.CLIP.PRETRAINED = {pretrained!r}"
    try:
        _load_weights(clip, path, f"{path} for {name}")
    except UsageError as error:
        raise UsageError(f"{key}: {error}") from error
    return pretrained


def has_quick_gelu(module: nn.Module) -> bool:
    """Whether a model computes with QuickGELU, as OpenAI's do, and not with GELU. Its weights do not show it."""
    return any(isinstance(each, open_clip.transformer.QuickGELU) for each in module.modules())


def _check_activation(name: str, tag: str) -> None:
    """Refuse the weights of a tag that were trained with another activation than the model's."""
    if tag not in open_clip.pretrained.list_pretrained_tags_by_model(name):
        return
    quick = bool(open_clip.pretrained.get_pretrained_cfg(name, tag).get("quick_gelu"))
    if quick != bool(model_config(name).get("quick_gelu")):
        other = f"{name}-quickgelu" if quick else name.removesuffix("-quickgelu")
        raise UsageError(
            f"MODEL.CLIP.PRETRAINED = {tag!r} has weights for {'QuickGELU' if quick else 'GELU'}, and MODEL.CLIP.NAME "
            f"= {name!r} computes with another activation; set MODEL.CLIP.NAME to {other!r}."
        )


def _load_weights(clip: CLIPModel, path: str, what: str) -> None:
    """Load a file of weights, strictly, into a CLIP model. Position embeddings of another length are interpolated."""
    own = clip.state_dict()
    weights = unwrap(read_weight_file(path), path, own.keys())["model"]
    try:
        weights = open_clip.convert.convert_state_dict(clip, dict(weights))
        if "logit_scale" in weights:  # a scalar, or a vector of one
            weights["logit_scale"] = weights["logit_scale"].reshape(own["logit_scale"].shape)
        open_clip.model.resize_pos_embed(weights, clip)
        open_clip.model.resize_text_pos_embed(weights, clip)
    except Exception as error:  # the shapes of another model
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"{what} does not fit the model ({reason}); choose the model it was made for.") from error
    check_fit(weights, own, what, "get the file again, or choose the model it was made for")
    clip.load_state_dict(weights)


def _download(name: str, tag: str) -> str | None:
    """The local path of a tag's weights, downloaded if necessary; None where the hub cannot be reached."""
    tags = open_clip.pretrained.list_pretrained_tags_by_model(name)
    if tag not in tags:
        known = f"one of its tags ({', '.join(tags)})" if tags else "a file, because the model has no tags"
        raise UsageError(f"MODEL.CLIP.PRETRAINED = {tag!r} is neither a file nor a tag of {name}; give {known}.")
    offline = hub.HF_HUB_OFFLINE
    reasons = []
    # Offline mode still loads cached weights: without a minute of retries if the hub cannot be reached, and also if the
    # cache is read-only, because the hub's library would write to the cache in online mode
    for mode in dict.fromkeys((offline or not hub_reachable(), True)):
        try:
            hub.HF_HUB_OFFLINE = mode
            return open_clip.pretrained.download_pretrained(open_clip.pretrained.get_pretrained_cfg(name, tag))
        except Exception as error:  # the hub's library raises many types
            reasons.append(short(error, 200).rstrip(".") or type(error).__name__)
        finally:
            hub.HF_HUB_OFFLINE = offline
    logger.warning(
        "MODEL.CLIP.PRETRAINED = %r could not be downloaded (%s); give a local file instead.", tag, "; ".join(reasons)
    )
    return None
