"""The data of mask proposals for the browser."""

import json

import numpy as np
import pytest
from PIL import Image

from errseg.api import Proposals, Result
from errseg.colors import colors_of
from errseg.web.masks import LARGEST_SIDE, LEAST, LEVELS, NAMES, sheet_of, view_masks
from errseg.web.service import Service
from errseg.web.view import view
from tests.tiny import SYSTEMS, blobs, tiny_segmenter


def smooth_proposals(count=100, height=480, width=640, names=150):
    """Masks with soft edges; of every seventh, no pixel is probable."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    masks = np.empty((count, height, width), np.float16)
    for i, mask in enumerate(masks):
        row, column, radius = random.random(3) * (height, width, height / 2) + (0, 0, 20)
        logit = (radius - np.hypot(y - row, x - column)) / 8
        mask[:] = 0.02 if i % 7 == 0 else 1 / (1 + np.exp(-logit))
    classes = random.dirichlet(np.full(names + 1, 0.1), count).astype(np.float32)
    return Proposals(masks, classes[:, :-1], tuple(f"name {i}" for i in range(names)), (height, width))


def mask_of(sheet, known, place):
    row, column = divmod(place, known["columns"])
    top, left = row * known["height"], column * known["width"]
    return np.asarray(sheet)[top : top + known["height"], left : left + known["width"]] / 255


def test_a_sheet_holds_every_mask():
    masks = np.random.default_rng(0).random((7, 6, 9)).astype(np.float32)
    sheet, columns = sheet_of(masks)
    assert columns == 2 and sheet.shape == (4 * 6, 2 * 9) and sheet.dtype == np.uint8
    for i, mask in enumerate(masks):
        found = sheet[i // 2 * 6 : (i // 2 + 1) * 6, i % 2 * 9 : (i % 2 + 1) * 9]
        np.testing.assert_allclose(found / 255, mask, atol=0.5 / (LEVELS - 1) + 0.5 / 255)
    assert sheet[18:, 9:].max() == 0 and len(np.unique(sheet)) <= LEVELS
    assert sheet_of(masks[:1])[0].shape == (6, 9) and sheet_of(masks[:0])[0].shape == (6, 9)


def test_masks_and_their_names():
    proposals = smooth_proposals()
    sheet, known = view_masks(proposals)
    assert (known["width"], known["height"]) == (LARGEST_SIDE, LARGEST_SIDE * 3 // 4) and known["total"] == 100
    assert known["least"] == LEAST
    assert [each["index"] for each in known["masks"]] == [i for i in range(100) if i % 7]
    for place in (0, 17, len(known["masks"]) - 1):
        told = known["masks"][place]
        mask = proposals.mask(told["index"]).reshape(known["height"], 4, known["width"], 4).mean((1, 3))
        np.testing.assert_allclose(mask_of(sheet, known, place), mask, atol=0.012)
        best = proposals.best_names(told["index"], NAMES)
        assert [name for name, _ in told["names"]] == [each.name for each in best]
        assert [share for _, share in told["names"]] == pytest.approx([each.probability for each in best], abs=1e-4)
        assert told["none"] == pytest.approx(proposals.no_name(told["index"]), abs=1e-4)
        assert told["color"] == colors_of(proposals.names)[proposals.names.index(best[0].name)]
    json.dumps(known)


def test_small_masks_are_not_enlarged_and_there_may_be_none():
    proposals = smooth_proposals(3, 30, 40, names=2)
    sheet, known = view_masks(proposals)
    assert (known["width"], known["height"]) == (40, 30) and len(known["masks"][0]["names"]) == 2
    nothing = Proposals(np.zeros((3, 30, 40), np.float16), proposals.probabilities, proposals.names, (30, 40))
    sheet, known = view_masks(nothing)
    assert known["masks"] == [] and known["total"] == 3 and sheet.size == (40, 30)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_service_asks_for_masks_where_there_are_some(system, tmp_path):
    Image.fromarray(blobs()).save(tmp_path / "blobs.png")
    result = Service(tiny_segmenter(system)).segment(tmp_path / "blobs.png", ["cat", "grass", "sea"])
    sent = view(result)
    assert ("proposals" in sent) == (result.proposals is not None) == (system == "DeOP")
    if result.proposals is not None:
        assert sent["proposals"]["sheet"].startswith("data:image/png;base64,") and sent["proposals"]["total"] == 5
    assert result.names == ("cat", "grass", "sea") and len(sent["kept"]) == 3


def test_a_hundred_masks_are_small():
    proposals = smooth_proposals()
    labels, image = np.zeros(proposals.size, np.int32), np.zeros((*proposals.size, 3), np.uint8)
    sent = view(Result(image, labels, labels.astype(np.float32), proposals.names, [], None, proposals))["proposals"]
    assert len(sent["sheet"]) < 400_000 and len(json.dumps({**sent, "sheet": ""})) < 40_000
