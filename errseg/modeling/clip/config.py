"""The configuration of a CLIP model: the name of an open_clip model, or a JSON file in open_clip's format.

A file is checked before a model is built from it. It must not name weights to download or another tokenizer, and its
sizes are bounded.
"""

import dataclasses
import inspect
import math
import os
import typing
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...safe_files import read_json
from .libraries import open_clip, timm

__all__ = ["model_config"]

CHECKOUT = Path(__file__).parents[3]
MAX_BYTES = 1 << 20
TOKENS = 49408  # number of tokens of open_clip's own tokenizer
TOWERS = {"vision_cfg": "CLIPVisionCfg", "text_cfg": "CLIPTextCfg"}  # with their types in open_clip
BOUNDS = {  # least and largest values of the numbers that decide the size of a model
    "embed_dim": (1, 16384),
    "layers": (1, 256),
    "width": (1, 16384),
    "heads": (1, 1024),
    "head_width": (1, 16384),
    "mlp_ratio": (0.01, 100),
    "patch_size": (1, 1024),
    "image_size": (1, 4096),
    "context_length": (8, 1024),
    "vocab_size": (TOKENS, 1 << 20),
    "attn_pooler_queries": (1, 4096),
    "attn_pooler_heads": (1, 1024),
}
MAX_PARAMETERS = 20e9
NOT_TAKEN = ("cast_dtype", "output_dict", "hf_model_name", "hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs")

Config = dict[str, Any]


def model_config(name: str) -> Config:
    """open_clip's configuration of a plain CLIP model: an image tower and CLIP's own text tower.

    Args:
        name: a model name of open_clip, or the path of a model configuration in open_clip's format (``*.json``).

    Raises:
        UsageError: open_clip has no such model; or the file does not exist; or a value in it is not accepted.
    """
    if ":" in name and not name.endswith(".json"):
        raise UsageError(
            f"MODEL.CLIP.NAME = {name!r} is an address; give a model of open_clip, or a model configuration (*.json), "
            "and its weights as MODEL.CLIP.PRETRAINED."
        )
    if name.endswith(".json"):
        return _from_file(name)
    config = open_clip.get_model_config(name)
    if config is None:
        raise UsageError(f"MODEL.CLIP.NAME = {name!r} is not a model of open_clip; see open_clip.list_models().")
    if config.pop("custom_text", False) or "hf_model_name" in config["text_cfg"]:
        raise UsageError(f"MODEL.CLIP.NAME = {name!r} has a text tower other than CLIP's; choose a plain CLIP model.")
    return config


def _from_file(name: str) -> Config:
    if not os.path.isfile(name) and os.path.isfile(CHECKOUT / name):
        name = str(CHECKOUT / name)  # the config files give paths relative to the checkout
    content = read_json(name, "CLIP model configuration (MODEL.CLIP.NAME)", MAX_BYTES)
    if isinstance(content, dict) and isinstance(content.get("model_cfg"), dict):
        content = content["model_cfg"]  # open_clip_config.json of a hub repository
    if not isinstance(content, dict):
        raise UsageError(f"MODEL.CLIP.NAME = {name!r} holds a {type(content).__name__}; {_keys_wanted()}.")
    if content.pop("custom_text", False):
        raise UsageError(f"MODEL.CLIP.NAME = {name!r} has a text tower other than CLIP's; choose a plain CLIP model.")
    missing = [key for key in ("embed_dim", *TOWERS) if key not in content]
    if missing:
        raise UsageError(f"MODEL.CLIP.NAME = {name!r} lacks {', '.join(missing)}; {_keys_wanted()}.")
    known = inspect.signature(open_clip.CLIP).parameters
    _check(name, "", content, typing.get_type_hints(open_clip.CLIP.__init__), known)
    for tower in TOWERS:
        kind = _type_of(tower)
        fields = [field.name for field in dataclasses.fields(kind)]
        _check(name, f"{tower}.", content[tower], typing.get_type_hints(kind), fields)
    _check_trunk(name, content["vision_cfg"])
    _check_size(name, content)
    return content


def _type_of(tower: str) -> Any:
    return getattr(open_clip, TOWERS[tower])


def _keys_wanted() -> str:
    return f"give a mapping of embed_dim, {' and '.join(TOWERS)}, as open_clip's own model configurations"


def _check(name: str, prefix: str, values: Config, kinds: dict[str, Any], known: typing.Iterable[str]) -> None:
    """Refuse a key that open_clip does not have or errseg does not accept, and a value of a wrong type or size."""
    for key, value in values.items():
        place = f"{prefix}{key} in MODEL.CLIP.NAME = {name!r}"
        if key not in known or key in NOT_TAKEN:
            raise UsageError(f"The key {place} is not accepted; remove it.")
        if not prefix and key in TOWERS:
            if not isinstance(value, dict):
                raise UsageError(f"{place} is {value!r}; give a mapping, as open_clip's own model configurations have.")
            continue
        if not _fits(value, kinds[key]):
            wanted = getattr(kinds[key], "__name__", "") or str(kinds[key]).replace("typing.", "")
            raise UsageError(f"{place} is {str(value)[:100]!r}; give a value of type {wanted}.")
        least, most = BOUNDS.get(key, (-1e6, 1e6))
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, (int, float)) and not isinstance(number, bool) and not least <= number <= most:
                raise UsageError(f"{place} is {value!r}; give {least} to {most}.")


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value of a JSON file has an annotated type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union:
        return any(_fits(value, each) for each in arguments)
    if origin is tuple:
        return isinstance(value, list) and len(value) == len(arguments) and all(map(_fits, value, arguments))
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _check_trunk(name: str, vision: Config) -> None:
    """Refuse values that would make timm download weights."""
    if vision.get("timm_model_pretrained"):
        raise UsageError(
            f"vision_cfg.timm_model_pretrained in MODEL.CLIP.NAME = {name!r} is true; set it false: the weights are "
            "those of MODEL.CLIP.PRETRAINED."
        )
    trunk = vision.get("timm_model_name")
    if trunk is not None and (":" in trunk or "/" in trunk or not timm.is_model(trunk)):
        raise UsageError(
            f"vision_cfg.timm_model_name in MODEL.CLIP.NAME = {name!r} is {trunk!r}; give a model that timm "
            "has, such as convnext_base."
        )


def _check_size(name: str, config: Config) -> None:
    """Refuse a model that is too large for any memory."""
    parameters = 0.0
    for tower in TOWERS:
        size = dataclasses.asdict(_type_of(tower)()) | config[tower]
        layers = sum(size["layers"]) if isinstance(size["layers"], list) else size["layers"]
        parameters += layers * size["width"] ** 2 * (4 + 2 * size["mlp_ratio"]) + size["width"] * config["embed_dim"]
        parameters += size.get("vocab_size", 0) * size["width"]
    if parameters > MAX_PARAMETERS:
        raise UsageError(
            f"MODEL.CLIP.NAME = {name!r} asks for about {parameters / 1e9:.0f} billion parameters; give at most "
            f"{MAX_PARAMETERS / 1e9:.0f}."
        )
