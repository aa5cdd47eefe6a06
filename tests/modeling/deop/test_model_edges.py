"""DeOP at the edges: odd sizes and labels, empty masks, low precision, checkpointing, copies, wrong encoders."""

import copy
import pickle

import pytest
import torch

from errseg.errors import UsageError
from errseg.modeling.taps import watch
from tests.conftest import NAMES
from tests.modeling.deop.test_model import pictures


def without_dropout(model):
    """The model in training, with dropout switched off by module types and attributes."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    return model.train()


def gradients(model, batch):
    losses = model(batch)
    sum(losses.values()).backward()
    return losses, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("mode", ["masked", "guided"])
def test_checkpointing_computes_again_and_changes_nothing(deop, make_batch, mode):
    batch, counts, results = make_batch(2), [], []
    for checkpointing in (False, True):
        model = without_dropout(deop("MODEL.PATCH_SEVERANCE.MODE", mode, "MODEL.GRADIENT_CHECKPOINTING", checkpointing))
        with watch(model, ["block1"]) as seen:
            results.append(gradients(model, batch))
        counts.append(len(seen["block1"]))
    assert counts == [1, 2]
    (losses, grads), (again, grads_again) = results
    torch.testing.assert_close(again, losses)
    torch.testing.assert_close(grads_again, grads)


def test_logits_pooling_and_guided_weights_are_float32_under_autocast(deop, make_batch):
    """Logits are 100 times cosines, so that bfloat16 would round them by up to 0.06, and sums of masks likewise."""
    model = without_dropout(deop("MODEL.PATCH_SEVERANCE.MODE", "guided"))
    with torch.autocast("cpu", torch.bfloat16), watch(model, ["class_logits", "regions", "text"]) as seen:
        losses = model(make_batch(2))
    [logits], [regions], [rows] = (seen[name] for name in ("class_logits", "regions", "text"))
    assert logits.dtype == regions.dtype == torch.float32
    torch.testing.assert_close(regions.norm(dim=-1), torch.ones(2, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(logits, 100 * regions @ rows.T)
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@torch.no_grad()
def test_half_precision_of_every_option(deop, precision, make_batch):
    model, batch = deop("MODEL.ANCHORS.MASKED", True, "MODEL.PATCH_SEVERANCE.MODE", "guided"), make_batch(1)
    whole = model(batch)[0]["sem_seg"]
    model.set_precision(precision)
    assert (model(batch)[0]["sem_seg"].argmax(0) == whole.argmax(0)).float().mean() > 0.8


@pytest.mark.parametrize("size", [(1, 1), (31, 33), (16, 300), (300, 1)])
@torch.no_grad()
def test_pictures_of_any_size(deop, size):
    model, [inputs] = deop(), pictures(size)
    scores = model([inputs])[0]["sem_seg"]
    assert scores.shape == (len(NAMES), *size) and scores.isfinite().all()
    assert torch.equal(model.label_maps([inputs])[0], scores.argmax(0))


def test_labels_that_are_all_ignored(deop, make_batch):
    batch = make_batch(2)
    for inputs in batch:
        inputs["sem_seg"].fill_(255)
    losses, grads = gradients(without_dropout(deop()), batch)
    assert all(each.isfinite() for each in losses.values()) and all(each.isfinite().all() for each in grads.values())


def test_a_proposal_without_a_pixel(deop, make_batch):
    """Its probabilities are exactly 0 in float32, and so are its pooled embedding and its part of the gradients."""
    model = without_dropout(deop())
    with torch.no_grad():
        model.proposals.predictor.mask_embed.layers[2].weight.zero_()
        model.proposals.predictor.mask_embed.layers[2].bias.fill_(-1e6)
        model.proposals.pixel_decoder.mask_features.bias.fill_(1e3)
    losses, grads = gradients(model, make_batch(2))
    assert all(each.isfinite() for each in losses.values()) and all(each.isfinite().all() for each in grads.values())
    with torch.no_grad():
        scores = model.eval()(make_batch(1))[0]["sem_seg"]
    assert not scores.any()


@torch.no_grad()
def test_copies_and_pickles(deop, make_batch):
    model, batch = deop("MODEL.GRADIENT_CHECKPOINTING", True), make_batch(1)
    wanted = model(batch)[0]["sem_seg"]
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(batch)[0]["sem_seg"], wanted)


def test_an_image_of_another_size_than_its_labels(deop, make_batch):
    model, batch = deop().train(), make_batch(2)
    batch[1]["image"] = batch[1]["image"][:, :32]
    with pytest.raises(UsageError, match=r"made up has \(32, 64\) pixels, and its labels \(64, 64\)"):
        model(batch)


def test_a_whole_clip_that_trains_has_gradients_everywhere(deop, make_batch):
    model = deop("MODEL.CLIP.FINETUNE_IMAGE", True, "MODEL.CLIP.FINETUNE_TEXT", True).train()
    sum(model(make_batch(2)).values()).backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize("name", ["ViTCLIP", "ConvNeXtCLIP", "ResNet50"])
def test_encoders_of_other_systems(deop, name):
    with pytest.raises(UsageError, match=f"MODEL.BACKBONE.NAME = '{name}' is no encoder of DeOP; give SeveredViTCLIP"):
        deop("MODEL.BACKBONE.NAME", name)


@pytest.mark.parametrize("name", ["ViTCLIP", "ConvNeXtCLIP", "nothing"])
def test_proposals_from_an_encoder_of_clip(deop, name):
    with pytest.raises(UsageError, match=f"MODEL.PROPOSALS.BACKBONE = '{name}' is no backbone of proposals"):
        deop("MODEL.PROPOSALS.BACKBONE", name)
