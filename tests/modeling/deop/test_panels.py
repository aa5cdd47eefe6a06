"""The panels of an inspection: they are what the model computes, and leave it as it is."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from errseg.api import Segmenter
from errseg.errors import UsageError
from errseg.inspection import inspect
from errseg.modeling.deop.plain import plain_form
from errseg.modeling.layers import resize
from tests.conftest import NAMES
from tests.modeling.deop.conftest import sharpen


def picture(height=64, width=96):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def made(deop, tiny_cfg):
    """``made(KEY, value, ...)``: the segmenter of a tiny DeOP whose masks and classes differ."""

    def make(*changes):
        return named(sharpen(deop("INPUT.MIN_SIZE_TEST", 0, *changes)), tiny_cfg)

    return make


def named(model, cfg):
    segmenter = Segmenter(model, cfg)
    segmenter.set_vocabulary(NAMES)
    return segmenter


def test_proposals_give_the_label_map(made):
    found = inspect(made(), picture(), ["proposals"])
    proposals = found.proposals
    assert proposals.masks.shape == (5, 16, 24) and proposals.classes.shape == (5, 10) and proposals.cell == (4, 4)
    np.testing.assert_allclose(proposals.classes.sum(1), 1, rtol=1e-5)
    logits = torch.from_numpy(proposals.masks).double().logit(eps=1e-12)
    maps = resize(logits.unsqueeze(0), (64, 96))[0].sigmoid()
    scores = torch.einsum("nt,nhw->thw", torch.from_numpy(proposals.classes[:, :-1]).double(), maps)
    assert (scores.argmax(0).numpy() == found.labels).mean() > 0.999
    assert len(found.winners) >= 2


def test_the_mask_multiplies_the_heatmaps(made):
    heatmaps = inspect(made("MODEL.PROPOSALS.BACKBONE", "ResNet18c"), picture(), ["heatmaps"]).heatmaps
    assert heatmaps.before.shape == heatmaps.proposals.masks.shape == (5, 4, 6)
    np.testing.assert_allclose(heatmaps.before.sum((1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(heatmaps.after, heatmaps.before * heatmaps.proposals.masks, rtol=1e-5)
    assert heatmaps.before.std() > 0.01 and (heatmaps.after.sum((1, 2)) < 0.999).any()


@pytest.mark.parametrize("mode", ["masked", "plain", "guided"])
@torch.no_grad()
def test_severance_on_and_off(made, mode):
    segmenter = made("MODEL.PATCH_SEVERANCE.MODE", mode)
    model, shown = segmenter.model, picture()
    before = model.backbone.attentions
    severance = inspect(segmenter, shown, ["severance"], point=(40, 20)).severance
    assert model.backbone.attentions is before
    assert list(severance.names) == list(severance.place) == [mode, "none"]
    image, text = torch.from_numpy(shown).permute(2, 0, 1), segmenter.encoded.text
    for each in (mode, "none"):
        model.backbone.sever(each, [2])
        dense = model.dense_embedding(image)
        cosines = torch.einsum("td,dhw->thw", text, dense)
        np.testing.assert_allclose(severance.names[each], cosines, atol=1e-5)
        assert severance.place[each][1, 2] == pytest.approx(1, abs=1e-5)  # the patch of the point
        expected = F.cosine_similarity(dense, dense[:, 1, 2, None, None], dim=0)
        np.testing.assert_allclose(severance.place[each], expected, atol=1e-5)
    assert np.abs(severance.names[mode] - severance.names["none"]).max() > 1e-3


def test_cells_beyond_the_picture_are_left_out(made):
    """A picture of 50 x 70 is padded to 64 x 96; a cell counts if a part of it is in the picture."""
    found = inspect(made(), picture(50, 70))
    assert found.proposals.masks.shape == (5, 13, 18) and found.heatmaps.before.shape == (5, 4, 5)
    assert found.severance.place["none"].shape == (4, 5) and found.severance.cell == (16, 16)
    assert found.heatmaps.before.sum() < 5


def test_maps_of_a_resized_picture_are_in_its_own_pixels(made):
    found = inspect(made("INPUT.MIN_SIZE_TEST", 64), picture(32, 48))
    assert found.heatmaps.proposals.cell == (8, 8) and found.proposals.cell == (2, 2)


def test_without_severance_there_is_nothing_to_compare(made):
    segmenter = made("MODEL.PATCH_SEVERANCE.BLOCKS", [])
    with pytest.raises(UsageError, match="what = 'severance': no block is severed .*MODEL.PATCH_SEVERANCE.BLOCKS"):
        inspect(segmenter, picture(), ["severance"])
    assert inspect(segmenter, picture()).severance is None


def test_panels_of_other_systems_are_unknown(made):
    with pytest.raises(UsageError, match="'cost' cannot be shown; give some of proposals, heatmaps, severance"):
        inspect(made(), picture(), ["cost"])


@pytest.mark.parametrize(
    "changes",
    [
        ("MODEL.ANCHORS.NUM_LAYERS", 0),
        ("MODEL.ANCHORS.MASKED", True),
        ("MODEL.POSITIONS.ENABLED", False),
        ("MODEL.PATCH_SEVERANCE.BLOCKS", [0, 1]),
        ("MODEL.PRECISION", "bfloat16"),
    ],
)
def test_other_configurations(made, changes):
    found = inspect(made(*changes), picture())
    for values in (found.proposals.masks, found.heatmaps.after, *found.severance.names.values()):
        assert np.isfinite(values).all() and values.std() > 0


def test_the_plain_form_shows_the_same(made):
    segmenter = made()
    fast = inspect(segmenter, picture())
    plain = inspect(named(plain_form(segmenter.model), segmenter.cfg), picture())
    np.testing.assert_allclose(plain.proposals.masks, fast.proposals.masks, atol=1e-4)
    np.testing.assert_allclose(plain.heatmaps.after, fast.heatmaps.after, atol=1e-4)
    np.testing.assert_allclose(plain.severance.names["masked"], fast.severance.names["masked"], atol=1e-4)
