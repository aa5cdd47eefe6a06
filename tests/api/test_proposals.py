"""The masks of a mask-based system: what they are of the model's prediction, and how a result gives them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from errseg.api import Proposals
from errseg.api.proposals import LARGEST_SIDE, proposals_of
from errseg.data.vocabularies import Vocabulary
from errseg.errors import UsageError
from errseg.modeling import system_of
from errseg.modeling.prediction import ViewPrediction
from tests.tiny import SYSTEMS, blobs, tiny_segmenter

NAMES = ["cat", "grass", "sky, heaven", "red car"]
PROMPTS = [0, 1, 2, 2, 3]  # the name of each prompt: synonyms have their own


def segmenter(*changes):
    """A tiny random DeOP with NAMES."""
    made = tiny_segmenter("DeOP", *changes)
    made.set_vocabulary(NAMES)
    return made


def predicted(model, image):
    """The probabilities of the masks, in the picture's size, and of the prompts and no name for each mask."""
    with torch.no_grad():
        (view,) = model.model.predict_views([model.inputs(image)], model.encoded, show=True)[0]
    masks = F.interpolate(view.shown["masks"][None], image.shape[:2], mode="bilinear")[0]
    return masks.numpy(), view.shown["classes"].numpy()


def test_proposals_are_the_models():
    model, image = segmenter(), blobs()
    found = model(image, proposals=True).proposals
    masks, classes = predicted(model, image)
    assert len(found) == 5 and found.size == (50, 70) and found.names == tuple(NAMES)
    assert found.masks.shape == (5, 50, 70) and found.masks.dtype == np.float16
    np.testing.assert_allclose(found.masks, masks, atol=1e-3)
    np.testing.assert_array_equal(found.mask(3), found.masks[3].astype(np.float32))
    expected = np.stack(
        [classes[:, [i for i, own in enumerate(PROMPTS) if own == name]].sum(1) for name in range(4)], 1
    )
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-6)
    for index in range(5):
        assert found.no_name(index) == pytest.approx(classes[index, -1], abs=1e-5)
        best = found.best_names(index, 3)
        assert [NAMES.index(name) for name, _ in best] == np.argsort(-expected[index])[:3].tolist()
        assert best[0].probability == pytest.approx(expected[index].max(), abs=1e-6)


def test_labels_and_confidences_follow_from_the_proposals():
    """The documented rule: probabilities of masks times probabilities of names, added up; the confidence is a share."""
    model, image = segmenter(), blobs()
    model.set_vocabulary(["sky", "house", "tree", "person"])  # no synonyms; several win pixels
    result = model(image, proposals=True)
    masks = result.proposals.masks.astype(np.float32)
    scores = np.einsum("nt,nhw->thw", result.proposals.probabilities, masks)
    assert scores.max() > 1 and len(result.classes) > 1
    assert (scores.argmax(0) == result.labels).mean() > 0.99  # the masks are rounded
    some = masks.sum(0) > 0.01  # smaller values are coarse in half precision
    assert some.mean() > 0.5
    np.testing.assert_allclose((scores.max(0) / masks.sum(0))[some], result.scores[some], atol=2e-3)


def test_masks_at_a_pixel():
    result = segmenter()(blobs(), proposals=True)
    found, column, row = result.proposals, 61, 7
    masks = found.at(column, row, count=3, names=2)
    values = found.masks[:, row, column].astype(np.float32)
    assert [each.id for each in masks] == np.argsort(-values)[:3].tolist()
    for each in masks:
        assert each.probability == values[each.id]
        assert each.names == found.best_names(each.id, 2) and each.no_name == found.no_name(each.id)
    assert len(found.at(0, 0)) == 5 and found.at(69, 49)
    for x, y in ((70, 0), (0, 50), (-1, 0)):
        with pytest.raises(UsageError, match=f"The picture has 70 x 50 pixels, and none at x = {x}, y = {y}"):
            found.at(x, y)
    for index in (5, -1):
        for ask in (found.mask, found.best_names, found.no_name):
            with pytest.raises(UsageError, match=f"There is no mask {index}; there are 5, counted from 0"):
                ask(index)


def test_masks_of_a_large_picture_are_stored_smaller():
    model, image = segmenter(), np.repeat(np.repeat(blobs(), 20, 0), 20, 1)
    found = model(image, proposals=True).proposals
    assert found.masks.shape == (5, round(LARGEST_SIDE * 5 / 7), LARGEST_SIDE) and found.mask(0).shape == (1000, 1400)
    masks, _ = predicted(model, image)
    assert np.abs(found.mask(2) - masks[2]).max() < 0.05
    assert found.at(1399, 999)[0].probability == found.masks[:, -1, -1].max()


def test_only_on_request():
    model = segmenter()
    assert model.has_proposals and model(blobs()).proposals is None
    results = model([blobs(), blobs(90, 40, 1)], proposals=True, batch_size=2)
    assert [each.proposals.size for each in results] == [(50, 70), (90, 40)]
    (streamed,) = model(iter([blobs()]), proposals=True, background="nothing", min_confidence=0.9)
    np.testing.assert_allclose(streamed.proposals.masks, results[0].proposals.masks, atol=1e-3)
    assert streamed.proposals.names == tuple(NAMES) and streamed.names == (*NAMES, "nothing")


def test_masks_of_a_mirrored_view_are_turned_back():
    model, image = segmenter("TEST.FLIP", True), blobs()
    found = model(image, proposals=True).proposals
    other = model(image[:, ::-1].copy(), proposals=True).proposals
    assert len(found) == 10
    np.testing.assert_allclose(found.masks[5:], other.masks[:5, :, ::-1], atol=2e-3)
    np.testing.assert_allclose(found.probabilities[5:], other.probabilities[:5], atol=1e-3)


def test_masks_of_windows_lie_in_their_windows():
    shown = {"masks": torch.ones(1, 8, 8), "classes": torch.tensor([[0.25, 0.5, 0.25]])}
    views = [
        ViewPrediction(torch.ones(2, 8, 8), torch.arange(2), (0, 30), cols, shown=shown) for cols in ((0, 25), (15, 40))
    ]
    found = proposals_of(Vocabulary(("a", "b"), ("a", "b"), (0, 1)), views, (30, 40))
    assert found.masks.shape == (2, 30, 40) and found.best_names(0, 1) == [("b", 0.5)] and found.no_name(1) == 0.25
    for mask, (left, right) in zip(found.masks, ((0, 25), (15, 40)), strict=True):
        assert (mask[:, left:right] == 1).all() and mask.sum() == 30 * 25


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_without_masks_says_so(system):
    model = tiny_segmenter(system)
    model.set_vocabulary(NAMES)
    if model.has_proposals:
        assert isinstance(model(blobs(), proposals=True).proposals, Proposals)
    else:
        name = system_of(model.cfg).name
        with pytest.raises(UsageError, match=f"proposals = True, but {name} makes no mask proposals; leave it out"):
            model(iter([blobs()]), proposals=True)  # at once
    assert model.has_proposals == (system == "DeOP")
