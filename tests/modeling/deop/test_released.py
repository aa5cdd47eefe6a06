"""Released checkpoints of DeOP: recognised, renamed strictly, and back."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from open_clip.transformer import QuickGELU

from errseg import checkpoint
from errseg.errors import UsageError
from errseg.modeling import build_on_meta
from errseg.modeling.build import load_weights
from errseg.modeling.deop.released import CONSTANT, RELEASED, SIGNALS, from_released, released_config, to_released
from tests.test_parity import KEY_TABLES


@pytest.fixture(scope="module")
def released():
    """A state dict with the released names and shapes; memory of zeros is not touched."""
    shapes = json.loads((KEY_TABLES / "deop_state_dict.json").read_text())
    assert len(shapes) == 1020
    return {key: torch.zeros(shape) for key, shape in shapes.items()}


def test_every_key_has_its_place(released):
    assert checkpoint.is_official(released)
    renamed = checkpoint.from_official(released)
    own = build_on_meta(released_config(released)).state_dict()
    assert renamed.keys() == own.keys() and all(renamed[key].shape == own[key].shape for key in own)
    assert {to_released(key) for key in own} == released.keys() - SIGNALS.keys() - {CONSTANT}


def test_what_does_not_fit_is_named(released):
    with pytest.raises(UsageError, match="1 missing: decoder.norm.bias.*get the file again"):
        from_released({key: value for key, value in released.items() if key != "decoder.norm.bias"})
    with pytest.raises(UsageError, match="Not a whole released DeOP checkpoint, keys 1 unknown: module.extra"):
        from_released(released | {"module.extra": torch.zeros(1)})
    key = "backbone.res2.0.conv1.weight"
    with pytest.raises(UsageError, match=r"1 of another shape: .*conv1.weight \(3,\) instead of \(64, 128, 1, 1\)"):
        from_released(released | {key: torch.zeros(3)})


def test_a_stored_row_that_differs_from_its_token(released):
    key = "clip_adapter.prompt_learner.dot_signal"
    with pytest.raises(UsageError, match=f"{key} differs from row 269 of the token embedding"):
        from_released(released | {key: torch.ones(1, 512)})


def test_other_sizes_are_read_from_the_file(released):
    cfg = released_config(released | {"query_embedding.weight": torch.zeros(7, 512), CONSTANT: torch.zeros(16)})
    assert cfg.MODEL.PROPOSALS.NUM_QUERIES == 7 and cfg.MODEL.PROMPT.LENGTH == 16
    assert from_released(released | {CONSTANT: torch.zeros(16)})


def test_weights_for_another_activation_are_refused(deop, tmp_path, monkeypatch):
    """A released file fits a model with GELU, key by key, and would give wrong results."""
    model, path = deop(), str(tmp_path / "released.pth")
    weights = {to_released(key): value for key, value in model.state_dict().items()}
    cfg = released_config(weights)
    kind = replace(RELEASED, config=lambda state_dict: cfg, from_released=lambda state_dict: model.state_dict())
    monkeypatch.setattr(sys.modules[load_weights.__module__], "released_of", lambda state_dict: kind)
    torch.save({"model": weights}, path)
    words = "are released weights for MODEL.CLIP.NAME = 'ViT-B-16-quickgelu'.*set that name"
    for load in (load_weights, lambda model, path: checkpoint.ERRSegCheckpointer(model).load(path)):
        with pytest.raises(UsageError, match=words):
            load(model, path)
        for block in model.backbone.clip.visual.transformer.resblocks:
            block.mlp.gelu = QuickGELU()
        load(model, path)
        for block in model.backbone.clip.visual.transformer.resblocks:
            block.mlp.gelu = torch.nn.GELU()
