"""What every system keeps to, and what its record says: a new system joins by a line in TINY_SYSTEMS."""

import pytest
import torch

import errseg
from errseg.errors import UsageError
from errseg.modeling import OpenVocabularySegmenter, System, system_of, system_of_model, systems
from errseg.modeling.taps import watch
from tests.conftest import NAMES, TINY_SYSTEMS

SYSTEMS = [pytest.param(system, id=system.meta_architecture) for system in systems()]
SEGMENTING = [each for each in SYSTEMS if "segment" not in each.values[0].cannot]


@pytest.fixture
def tiny(tiny_cfg):
    """``tiny(system)``: its configuration and a tiny seeded model with the vocabulary NAMES."""

    def make(system):
        tiny_cfg.merge_from_list(
            ["MODEL.META_ARCHITECTURE", system.meta_architecture, *TINY_SYSTEMS[system.meta_architecture]]
        )
        torch.manual_seed(0)
        model = errseg.build_model(tiny_cfg)
        model.set_vocabulary(NAMES)
        return tiny_cfg, model

    return make


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_record_is_found_by_configuration_and_by_model(system, tiny):
    cfg, model = tiny(system)
    assert isinstance(model, OpenVocabularySegmenter) and not model.training
    assert system_of(cfg) is system_of_model(model) is system


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_parts_hold_every_parameter(system, tiny):
    _, model = tiny(system)
    for name, _ in model.named_parameters():
        assert any(name.startswith(prefix) for prefix in system.parts), name
    assert "other" not in model.weight_sources.describe(model)
    assert system.copied_parts.keys() <= set(system.parts.values())


@pytest.mark.parametrize("system", SEGMENTING)
def test_taps_are_modules_of_the_model_and_see_its_calls(system, tiny, make_batch):
    _, model = tiny(system)
    taps, modules = system.taps(model), set(model.modules())
    assert all(tap.module in modules for tap in taps.values())
    assert set(system.stages.values()) <= taps.keys()
    with torch.no_grad(), watch(model, system.stages.values()) as seen:
        model.label_maps(make_batch(1))
    assert {name: len(values) for name, values in seen.items()} == dict.fromkeys(system.stages.values(), 1)
    with pytest.raises(UsageError, match="has no tap 'nowhere'; it has"), watch(model, ["nowhere"]):
        pass


@pytest.mark.parametrize("system", SEGMENTING)
def test_predictions_keep_to_the_contract(system, tiny, make_batch):
    _, model = tiny(system)
    encoded, images = model.encoded(), torch.cat([model.preprocess(x["image"], (64, 64)) for x in make_batch(2)])
    with torch.no_grad():
        shown = model.segment(images, encoded.text, encoded.num_kept, show=True).dense()
        silent = model.segment(images, encoded.text, encoded.num_kept).dense()
    batch, kept = shown.kept.shape
    assert batch == 2 and kept <= len(NAMES) and shown.scores.shape[:2] == (batch, kept)
    assert shown.scores.dtype == torch.float32 and shown.scores.min() >= 0 <= shown.dropped
    assert (shown.kept.diff(dim=1) > 0).all() and 0 <= shown.kept.min() and shown.kept.max() < len(NAMES)
    assert set(shown.shown) == set(system.shows) and not silent.shown
    assert torch.equal(shown.scores, silent.scores) and torch.equal(shown.kept, silent.kept)


@pytest.mark.parametrize("system", SYSTEMS)
def test_training_reaches_every_trainable_parameter(system, tiny, make_batch):
    _, model = tiny(system)
    sum(model.train()(make_batch(2)).values()).backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize("system", [each for each in SYSTEMS if each.values[0].released])
def test_released_names_are_different(system, tiny):
    _, model = tiny(system)
    names = [system.released.to_released(key) for key in model.state_dict()]
    assert len(set(names)) == len(names) and system.released.recognises(dict.fromkeys(names))
    assert not system.released.recognises(model.state_dict())


@pytest.mark.parametrize("system", [each for each in SYSTEMS if each.values[0].plain_form])
def test_the_plain_form_is_the_same_function(system, tiny, make_batch):
    _, model = tiny(system)
    plain = system.plain_form(model)
    assert {id(p) for p in plain.parameters()} == {id(p) for p in model.parameters()} and type(plain) is not type(model)
    with torch.no_grad():
        for ours, literal in zip(model(make_batch(2)), plain(make_batch(2)), strict=True):
            torch.testing.assert_close(ours["sem_seg"], literal["sem_seg"], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("system", [each for each in SYSTEMS if each not in SEGMENTING])
def test_a_system_that_does_not_segment_says_so(system, tiny, make_batch):
    cfg, model = tiny(system)
    for segment in (model.label_maps, model.predict_views):
        with pytest.raises(UsageError, match=f"cannot segment: {system.cannot['segment']}.$"):
            segment(make_batch(1))
    with pytest.raises(UsageError, match=f"{system.name} cannot segment: {system.cannot['segment']}.$"):
        errseg.load(cfg)


def test_what_a_system_cannot_do_is_one_sentence():
    system = System("Toy", "NoSuchToy", cannot={"export": "its masks have no fixed number"})
    with pytest.raises(UsageError, match="Toy cannot export: its masks have no fixed number.$"):
        system.require("export")
    with pytest.raises(UsageError, match="Toy cannot inspect: its record names no panels.$"):
        system.require("inspect")
    system.require("predict")


def test_unknown_systems_are_named(tiny_cfg):
    tiny_cfg.MODEL.META_ARCHITECTURE = "PanopticFPN"
    with pytest.raises(UsageError, match="'PanopticFPN' is not a system of errseg; there are .*ERRSeg"):
        system_of(tiny_cfg)
    with pytest.raises(UsageError, match="A Linear belongs to no system"):
        system_of_model(torch.nn.Linear(1, 1))
