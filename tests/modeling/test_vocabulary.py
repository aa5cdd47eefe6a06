"""A model's vocabulary is one thing, replaced whole or not at all."""

import copy
import pickle

import pytest
import torch

from errseg.modeling.vocabulary import EncodedNames
from tests.conftest import NAMES

OTHERS = ["dog", "cup", "street lamp"]


class TowerError(Exception):
    pass


@pytest.fixture
def failing(monkeypatch):
    """``failing(model)``: from now on its text tower raises TowerError."""

    def fail(tokens):
        raise TowerError

    return lambda model: monkeypatch.setattr(model.backbone, "encode_text", fail)


def scores(model, batch):
    with torch.no_grad():
        return model(batch)[0]["sem_seg"]


def test_a_text_tower_that_fails_leaves_the_vocabulary(build, make_batch, failing):
    model, batch = build().eval(), make_batch(1)
    names, text, before = model.vocabulary, model.text_embeddings, scores(model, batch)
    failing(model)
    with pytest.raises(TowerError):
        model.set_vocabulary(OTHERS)
    assert model.vocabulary is names and model.text_embeddings is text
    assert torch.equal(scores(model, batch), before)


@pytest.mark.parametrize("change", ["mode", "weights"])
def test_a_text_tower_that_fails_later_leaves_the_names(build, make_batch, failing, monkeypatch, change):
    """The embeddings of before would be wrong: they are made again at the next call."""
    model, batch = build().eval(), make_batch(1)
    before = scores(model, batch)
    with monkeypatch.context():
        failing(model)
        with pytest.raises(TowerError):
            if change == "mode":
                model.train().eval()
            else:
                model.load_state_dict(model.state_dict())
        model.train(False)
        with pytest.raises(TowerError):
            model.label_maps(batch)
    monkeypatch.undo()
    assert model.vocabulary.names == tuple(NAMES) and torch.equal(scores(model, batch), before)


def test_label_maps_in_training_mode_are_of_the_present_weights(build, make_batch):
    model, batch = build("MODEL.ESCF.DROP_PATH", 0.0).eval(), make_batch(1)
    with torch.no_grad():
        before = model.label_maps(batch)[0]
        assert model.train().text_embeddings is None
        assert torch.equal(model.label_maps(batch)[0], before)
        for parameter in model.backbone.clip.transformer.parameters():
            parameter.data += torch.randn_like(parameter)
        changed = model.label_maps(batch)[0]
    assert not torch.equal(changed, before) and torch.equal(changed, model.eval().label_maps(batch)[0])


def test_a_call_reads_the_vocabulary_once(build, make_batch):
    """Another is set while the image is encoded."""
    model, batch = build("MODEL.CRM.NUM_CLASSES_TEST", 3).eval(), make_batch(1)
    with torch.no_grad():
        dense, labels = model(batch)[0]["sem_seg"], model.label_maps(batch)[0]
        handle = model.backbone.register_forward_hook(lambda *_: model.set_vocabulary(OTHERS, 1))
        for call, expected in (
            (lambda: model(batch)[0]["sem_seg"], dense),
            (lambda: model.label_maps(batch)[0], labels),
        ):
            model.set_vocabulary(NAMES)
            assert torch.equal(call(), expected) and model.vocabulary.names == tuple(OTHERS)
        handle.remove()


def test_embeddings_follow_the_model_to_its_device_and_type(build):
    model = build().eval().double()
    assert model.text_embeddings.dtype == torch.float64
    assert model.to("meta").text_embeddings.device.type == "meta"


def test_embeddings_of_another_source_never_go_stale(build, make_batch):
    model, batch = build().eval(), make_batch(1)
    text = torch.nn.functional.normalize(torch.randn(len(NAMES), 32, generator=torch.Generator().manual_seed(1)), dim=1)
    model.use(EncodedNames(model.vocabulary, text))
    before = scores(model, batch)
    model.train().eval().load_state_dict(model.state_dict())
    assert model.text_embeddings is text and torch.equal(scores(model, batch), before)
    model.set_vocabulary(NAMES)
    model.text_embeddings = text
    assert torch.equal(scores(model, batch), before)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_have_the_vocabulary(build, make_batch, copied):
    model, batch = build().eval(), make_batch(1)
    other = copied(model)
    assert torch.equal(scores(other, batch), scores(model, batch))
    model.set_vocabulary(OTHERS)
    assert other.vocabulary.names == tuple(NAMES)
    other.load_state_dict({key: value * 0.5 for key, value in other.state_dict().items()})  # its hook came with it
    assert not torch.equal(scores(other, batch), scores(copied(build()).eval(), batch))
