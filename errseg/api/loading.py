"""Load a model that is ready to segment."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode

from errseg.checkpoint import load_state_dict_file, released_config, weights_in
from errseg.config import apply_overrides, config_names, load_config
from errseg.errors import UsageError
from errseg.hub import CHECKPOINTS, fetch, hub_model
from errseg.modeling import OpenVocabularySegmenter, build, system_of, system_of_model
from errseg.modeling.clip.build import RANDOM

from .segmenter import Segmenter

__all__ = ["load", "local_path"]

CONFIGS = (".yaml", ".yml")


def load(
    config: str | Path | CfgNode,
    weights: str | Path | None = None,
    device: str | torch.device = "auto",
    precision: str | None = None,
    overrides: Sequence[Any] = (),
    verbose: bool = True,
    revision: str | None = None,
) -> Segmenter:
    """Load a model that is ready to segment.

    Args:
        config: a YAML file or a configuration; or the folder of a training run, whose last weights are loaded, or of
            ``save_pretrained``; or a checkpoint, which is a released one or has its ``config.yaml`` beside it; or the
            id of a model on the hub, "owner/name", which is downloaded once. A repository with several checkpoints
            needs the name of one: "hf://owner/name/file.pth".
        weights: a checkpoint, ours or a released one, the folder of a run, or an id on the hub; None for the
            configuration's ``MODEL.WEIGHTS``. If that is empty, CLIP's weights are those of
            ``MODEL.CLIP.PRETRAINED``, and all other weights are random.
        device: "auto" (a GPU if there is one), or one of torch's names.
        precision: "float32", "bfloat16" or "float16"; None for the configuration's ``MODEL.PRECISION``.
        overrides: further configuration keys and values, one after another.
        verbose: print the source of the weights, and the modules with random weights, to standard error.
        revision: a branch, a tag or a commit of the model on the hub; None: the newest.

    Raises:
        UsageError: a file is missing or damaged, or does not fit the other files; or the model does not segment; or the
            hub has no such model, or cannot be reached while its cache does not have the model.
    """
    cfg, weights = _resolve(config, weights, overrides, revision)
    system_of(cfg).require("segment")
    cfg.MODEL.DEVICE = _device(device)
    if precision is not None:
        cfg.MODEL.PRECISION = precision
    if weights:
        cfg.MODEL.WEIGHTS = weights
    if cfg.MODEL.WEIGHTS:
        cfg.MODEL.CLIP.PRETRAINED = ""  # the checkpoint holds CLIP's weights too
    cfg.freeze()
    model = build(cfg, cfg.MODEL.WEIGHTS)
    if verbose:
        print(_account(model), file=sys.stderr)
    return Segmenter(model, cfg)


def _account(model: OpenVocabularySegmenter) -> str:
    """What was loaded, in one line. If the weights have several sources, a line for each group of modules follows."""
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    sources, system = model.weight_sources, system_of_model(model)
    what = f"{system.name}, {size:.1f} million parameters, {model.precision}, on {model.device}"
    first = next(iter(sources.values()), RANDOM)
    if set(sources.values()) == {first} and not sources.has_random:
        return f"Loaded {first}: {what}."
    lines = [f"{what}, its weights from:", *(f"  {part:<18} {source}" for part, source in sources.items())]
    if sources.has_random:
        lines.append("Random weights give meaningless predictions; give weights.")
    return "\n".join(lines)


def local_path(path: str, revision: str | None = None) -> str:
    """The path of a file or folder; of the weights in the hub's cache where ``path`` is the id of a model on the hub.

    A file or folder of this name, or a packaged configuration, counts before the hub.

    Args:
        path: a path, the name of a packaged configuration, or an id of the hub.
        revision: of the model on the hub.

    Raises:
        UsageError: see ``errseg.hub.fetch``; or there is a revision, and ``path`` is no id or has one itself.
    """
    model = None if os.path.lexists(path) or _is_packaged(path) else hub_model(path)
    if revision is None:
        return path if model is None else str(fetch(model))
    if model is None:
        raise UsageError(f"revision = {revision!r}, but {path} is no id of a model on the hub; leave it out.")
    if model.revision is not None:
        raise UsageError(f"revision = {revision!r}, but {path} names a revision too; leave one out.")
    return str(fetch(model._replace(revision=revision)))


def _is_packaged(name: str) -> bool:
    """Whether the name begins as those of packaged configurations do: "ablations/table5" is no id of the hub."""
    known = config_names()
    return name in known or "/" in name and any(each.startswith(f"{name.split('/')[0]}/") for each in known)


def _resolve(
    config: str | Path | CfgNode, weights: str | Path | None, overrides: Sequence[Any], revision: str | None
) -> tuple[CfgNode, str | None]:
    """The configuration, not frozen, and the path of the weights."""
    if weights is not None:
        weights = local_path(os.fspath(weights), revision)
    elif not isinstance(config, CfgNode):
        config = local_path(os.fspath(config), revision)
    elif revision is not None:
        raise UsageError(f"revision = {revision!r}, but a configuration is no id of a model on the hub; leave it out.")
    if weights and os.path.isdir(weights):
        weights = weights_in(weights)
    if isinstance(config, CfgNode):
        cfg = config.clone()
        cfg.defrost()
        apply_overrides(cfg, overrides)
        return cfg, weights
    path = Path(config)
    if path.is_dir():
        return _load_file(path / "config.yaml", overrides, path), weights or weights_in(path)
    if path.suffix.lower() in CHECKPOINTS:
        if weights is not None:
            raise UsageError(f"{path} and {weights} are two checkpoints; give one, and a configuration (*.yaml).")
        beside = path.with_name("config.yaml")
        cfg = _load_file(beside, overrides, path) if beside.is_file() else _released(str(path), overrides)
        return cfg, str(path)
    if path.is_file() and path.suffix.lower() not in CONFIGS:
        kinds = ", ".join((*CONFIGS, *CHECKPOINTS))
        raise UsageError(f"{path} is neither a configuration nor a checkpoint by its ending; give one of {kinds}.")
    return load_config(str(path), overrides), weights


def _load_file(config: Path, overrides: Sequence[Any], run: Path) -> CfgNode:
    """The configuration of a training run or of a checkpoint, from the file beside it."""
    if not config.is_file():
        raise UsageError(
            f"{run} has no {config.name}, so it is no folder of a run or of a saved model; give a YAML file."
        )
    return load_config(str(config), overrides)


def _released(path: str, overrides: Sequence[Any]) -> CfgNode:
    """The configuration of a released checkpoint; its other keys have the paper's values, which are the defaults."""
    cfg = released_config(load_state_dict_file(path)["model"])
    if cfg is None:
        raise UsageError(
            f"{path} is no released checkpoint and has no config.yaml beside it; give its configuration (*.yaml) too."
        )
    apply_overrides(cfg, overrides)
    return cfg


def _device(device: str | torch.device) -> str:
    name = str(device)
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"The device is {name!r}, but torch sees no GPU; give 'auto' or 'cpu'.")
    try:
        torch.empty(0, device=name)
    except RuntimeError as error:
        raise UsageError(f"torch cannot use the device {name!r} here; give 'auto', 'cpu' or 'cuda'.") from error
    return name
