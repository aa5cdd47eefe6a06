"""CLIP models by name and from JSON files: what is taken, and what would reach the network or fill the memory."""

import copy
import json

import pytest

from errseg.errors import UsageError
from errseg.modeling.clip.build import build_clip
from errseg.modeling.clip.config import model_config
from tests.conftest import TINY_CLIP


def changed(place, value):
    """The tiny CLIP's configuration with one key changed; ``...`` removes it."""
    content = copy.deepcopy(TINY_CLIP)
    node = content
    *sections, key = place.split(".")
    for section in sections:
        node = node[section]
    if value is ...:
        del node[key]
    else:
        node[key] = value
    return content


def test_a_file_of_a_hub_repository(tmp_path):
    path = tmp_path / "open_clip_config.json"
    path.write_text(json.dumps({"model_cfg": TINY_CLIP, "preprocess_cfg": {"mean": [0, 0, 0]}}))
    assert model_config(str(path)) == TINY_CLIP


@pytest.mark.parametrize("name", ["hf-hub:owner/model", "local-dir:folder", "hf-hub:owner/model.yaml", "no_such_model"])
def test_a_name_that_is_no_model_of_open_clip(name):
    with pytest.raises(UsageError, match=f"MODEL.CLIP.NAME = '{name}' is"):
        model_config(name)


@pytest.mark.parametrize("content", [None, [], 5, "text", {}, {"embed_dim": 16}])
def test_a_file_of_another_shape(tmp_path, content):
    path = tmp_path / "clip.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match="clip.json' (holds a|lacks)"):
        model_config(str(path))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("embed_dim", "16"),
        ("embed_dim", -1),
        ("embed_dim", 10**12),
        ("embed_dim", True),
        ("vision_cfg", []),
        ("text_cfg", None),
        ("nonsense", 1),
        ("custom_text", True),
        ("cast_dtype", "float16"),
        ("vision_cfg.layers", [1, 2]),
        ("vision_cfg.layers", [1, 2, 3, "4"]),
        ("vision_cfg.image_size", {}),
        ("vision_cfg.image_size", 10**9),
        ("vision_cfg.timm_model_name", "no_such_model"),
        ("vision_cfg.timm_model_name", "hf-hub:owner/model"),
        ("vision_cfg.timm_model_name", 5),
        ("vision_cfg.timm_model_pretrained", True),
        ("vision_cfg.timm_pool", "sideways"),
        ("vision_cfg.nonsense", 1),
        ("text_cfg.layers", 10**9),
        ("text_cfg.layers", 0),
        ("text_cfg.width", 0),
        ("text_cfg.heads", 3),
        ("text_cfg.vocab_size", 100),
        ("text_cfg.context_length", 1),
        ("text_cfg.hf_tokenizer_name", "owner/model"),
        ("text_cfg.hf_model_name", "owner/model"),
        ("text_cfg.act_kwargs", {"nonsense": 1}),
        ("text_cfg.mlp_ratio", "4"),
    ],
)
def test_a_value_that_is_refused(tmp_path, place, value):
    path = tmp_path / "clip.json"
    path.write_text(json.dumps(changed(place, value)))
    with pytest.raises(UsageError, match="MODEL.CLIP.NAME") as caught:
        build_clip(str(path))
    assert "\n" not in str(caught.value)


def test_a_model_that_no_memory_holds(tmp_path):
    content = changed("text_cfg.width", 16384)
    content["text_cfg"] |= {"layers": 256, "heads": 2}
    path = tmp_path / "clip.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match="billion parameters"):
        build_clip(str(path))
