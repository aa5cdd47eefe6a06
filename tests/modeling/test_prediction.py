"""Label maps and dense scores: the same prediction two ways, of one view and of several."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from errseg.modeling import prediction as output
from errseg.modeling.plain import merge
from errseg.modeling.prediction import Prediction, ViewPrediction, dense_scores, label_map, labels_and_confidences
from errseg.modeling.views import View
from tests.conftest import NAMES


class Largest(TorchDispatchMode):
    """``numel``: the number of elements of the largest tensor that an operation returned inside the context."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.numel = max([self.numel, *(x.numel() for x in tree_leaves(result) if isinstance(x, torch.Tensor))])
        return result


@pytest.fixture
def largest():
    return Largest()


def part(kept, rows, cols, seed, h=5, w=7):
    scores = torch.rand(len(kept), h, w, generator=torch.Generator().manual_seed(seed))
    return ViewPrediction(scores, torch.tensor(kept), rows, cols)


def test_a_label_map_is_the_argmax_of_the_dense_scores():
    parts = [part([1, 4, 7], (0, 33), (0, 21), 0)]
    dense = dense_scores(parts, (33, 21), 9)
    assert dense.shape == (9, 33, 21) and dense[[0, 2, 3, 5, 6, 8]].max() < 1e-30
    torch.testing.assert_close(dense[[1, 4, 7]], F.interpolate(parts[0].scores[None], (33, 21), mode="bilinear")[0])
    assert torch.equal(label_map(parts, (33, 21)), dense.argmax(0))


@pytest.mark.parametrize("block", [1, 300, 1000])
def test_blocks_of_rows_change_nothing(block, monkeypatch):
    parts = [part([0, 3, 8], (0, 40), (0, 30), 0), part([3, 5], (10, 40), (5, 20), 1, 8, 4)]
    for some in (parts[:1], parts):
        whole = dense_scores(some, (40, 30), 9)
        monkeypatch.setattr(output, "BLOCK", block)
        torch.testing.assert_close(dense_scores(some, (40, 30), 9), whole, atol=1e-6, rtol=1e-5)
        assert (label_map(some, (40, 30)) != whole.argmax(0)).float().mean() < 1e-3
        monkeypatch.undo()


def test_parts_are_averaged_where_they_meet():
    left = ViewPrediction(torch.full((1, 2, 2), 0.6), torch.tensor([0]), (0, 4), (0, 6))
    right = ViewPrediction(torch.full((2, 2, 2), 0.5), torch.tensor([0, 2]), (0, 4), (4, 10))
    dense = dense_scores([left, right], (4, 10), 3)
    torch.testing.assert_close(dense[0, 0], torch.tensor([0.6] * 4 + [0.55] * 2 + [0.5] * 4))
    torch.testing.assert_close(dense[2, 0], torch.tensor([0.0] * 4 + [0.25] * 2 + [0.5] * 4))
    assert label_map([left, right], (4, 10)).eq(0).all()


def test_a_part_narrower_than_a_pixel_says_nothing():
    parts = [part([0, 1], (0, 4), (0, 1), 0), part([1, 2], (0, 4), (1, 1), 1)]
    assert torch.equal(label_map(parts, (4, 1)), label_map(parts[:1], (4, 1)))


OPTIONS = [
    (),
    ("TEST.FLIP", True),
    ("TEST.SCALES", (0.75, 1.0, 1.5), "TEST.FLIP", True),
    ("TEST.KEEP_ASPECT", True),
    ("TEST.SLIDING_WINDOW", True),
    ("TEST.SLIDING_WINDOW", True, "TEST.FLIP", True, "TEST.SCALES", (1.0, 2.0)),
]


@pytest.mark.parametrize("changes", OPTIONS, ids=lambda changes: "-".join(map(str, changes)) or "paper")
def test_the_models_label_maps_are_those_of_its_scores(changes, build, make_batch):
    model = build("MODEL.CRM.NUM_CLASSES_TEST", 3, *changes)
    batch = make_batch(3)
    batch[0]["image"] = batch[0]["image"][:, :50, :40]
    batch[1] |= {"image": batch[1]["image"].repeat(1, 1, 2), "height": 30, "width": 70}
    with torch.no_grad():
        scores, maps = model(batch), model.label_maps(batch)
    for inputs, dense, labels in zip(batch, scores, maps, strict=True):
        assert dense["sem_seg"].shape == (len(NAMES), inputs["height"], inputs["width"])
        assert torch.equal(labels, dense["sem_seg"].argmax(0)) and labels.dtype == torch.int64


def test_label_maps_never_hold_a_score_for_every_name(build, make_batch, largest):
    model = build()
    model.set_vocabulary([f"name {i}" for i in range(500)], num_classes=3)
    inputs = {**make_batch(1)[0], "height": 256, "width": 256}
    with torch.no_grad(), largest:
        model.label_maps([inputs])
    assert 0 < largest.numel < 256 * 256 * 100


def test_flipping_sees_the_mirror_image(build, make_batch):
    model, [inputs] = build("TEST.FLIP", True), make_batch(1)
    mirrored = {**inputs, "image": inputs["image"].flip(-1)}
    with torch.no_grad():
        [one], [other] = model([inputs]), model([mirrored])
    torch.testing.assert_close(one["sem_seg"], other["sem_seg"].flip(-1), atol=1e-6, rtol=1e-4)


def test_no_vocabulary_is_an_error(tiny_cfg, make_batch):
    import errseg

    with pytest.raises(RuntimeError, match="set_vocabulary"):
        errseg.build_model(tiny_cfg).label_maps(make_batch(1))


def test_sizes_may_be_tensors(build, make_batch):
    model, batch = build().eval(), make_batch(1)
    batch[0] |= {"height": 30, "width": 70}
    as_tensors = [{**batch[0], "height": torch.tensor(30), "width": torch.tensor([70])}]
    with torch.no_grad():
        assert torch.equal(model(as_tensors)[0]["sem_seg"], model(batch)[0]["sem_seg"])
        assert torch.equal(model.label_maps(as_tensors)[0], model.label_maps(batch)[0])


# ---- predictions in factors: maps, and their weights for each name ----


def in_factors(num_names, num_maps, h, w, seed):
    """A batch of two views, K of 9 names."""
    random = torch.Generator().manual_seed(seed)
    maps = torch.rand(2, num_maps, h, w, generator=random)
    mix = torch.rand(2, num_names, num_maps, generator=random).softmax(1) * 0.9  # a tenth is for no name
    kept = torch.stack([torch.randperm(9, generator=random)[:num_names].sort().values for _ in range(2)])
    return Prediction(maps, kept, 0.0, torch.ones(2, 1, num_maps), {}, mix)


def of_views(predictions, placed, inputs):
    return [each.of_view(index, view, inputs) for each, (index, view) in zip(predictions, placed, strict=True)]


WHOLE, TOP = View((0, 41), (0, 29), (32, 32)), View((0, 25), (0, 29), (32, 32))
BOTTOM, RIGHT = View((16, 41), (0, 20), (32, 32)), View((16, 41), (9, 29), (32, 32))
PLACES = {
    "one view": [(0, WHOLE)],
    "a mirrored one": [(1, WHOLE._replace(flipped=True))],
    "two scales, mirrored": [(0, WHOLE), (1, WHOLE), (0, WHOLE._replace(flipped=True))],
    "windows": [(0, TOP), (1, BOTTOM), (0, RIGHT)],
}
SIZES = [(41, 29), (17, 13), (67, 90)]  # of the picture: as the maps of the first view, smaller, larger


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("num_names", "num_maps"), [(3, 7), (8, 4)], ids=["K < N", "K > N"])
@pytest.mark.parametrize("placed", PLACES.values(), ids=PLACES)
def test_factors_give_what_their_product_gives(placed, num_names, num_maps, size, monkeypatch):
    inputs = {"image": torch.empty(3, 41, 29), "height": size[0], "width": size[1]}
    shapes = [(41, 29), (11, 8), (50, 40)]
    factors = [in_factors(num_names, num_maps, *shapes[i], seed=i) for i in range(len(placed))]
    products = [each.dense() for each in factors]
    for each, product in zip(factors, products, strict=True):
        assert product.mix is None and product.scores.shape == (2, num_names, *each.scores.shape[-2:])
        torch.testing.assert_close(product.total, each.scores.sum(1, keepdim=True))
    found, expected = (of_views(each, placed, inputs) for each in (factors, products))
    labels, confidences = labels_and_confidences(expected, size)
    assert confidences.max() <= 1 and len(labels.unique()) > 1
    for block in (output.MIXED, 1, 500):
        monkeypatch.setattr(output, "MIXED", block)
        torch.testing.assert_close(dense_scores(found, size, 9), dense_scores(expected, size, 9), atol=1e-5, rtol=1e-5)
        for same in (label_map(found, size), labels_and_confidences(found, size)[0]):
            assert (same != labels).float().mean() < 1e-3
        torch.testing.assert_close(labels_and_confidences(found, size)[1], confidences, atol=1e-5, rtol=1e-5)


def test_the_product_of_factors_may_be_resized():
    factors, size = in_factors(5, 3, 11, 8, seed=0), (30, 21)
    found, product = factors.dense(size), factors.dense()
    expected = [F.interpolate(each, size, mode="bilinear") for each in (product.scores, product.total)]
    torch.testing.assert_close([found.scores, found.total], expected)
    torch.testing.assert_close([found.scores, found.total], [product.dense(size).scores, product.dense(size).total])
    assert product.dense().scores is product.scores


def test_factors_whose_scores_are_confidences_need_no_total():
    factors = replace(in_factors(4, 3, 11, 8, seed=0), total=None)
    view, size = WHOLE._replace(flipped=True), (41, 29)
    found, expected = (x.of_view(1, view, {"image": torch.empty(3, *size)}) for x in (factors, factors.dense()))
    torch.testing.assert_close(labels_and_confidences([found], size), labels_and_confidences([expected], size))
    assert factors.dense().total is None


@pytest.mark.parametrize("size", [(160, 160), (200, 200)], ids=["of the maps", "larger"])
def test_factors_are_mixed_for_a_few_rows_at_a_time(size, largest, monkeypatch):
    """No tensor is as large as the scores of all names, and none larger than a block beside maps and results."""
    monkeypatch.setattr(output, "MIXED", 1 << 16)
    view = ViewPrediction(
        torch.rand(4, 160, 160), torch.arange(300), (0, size[0]), (0, size[1]), mix=torch.rand(300, 4)
    )
    view = view._replace(total=torch.ones(1, 4))
    with largest as watch:
        label_map([view], size), labels_and_confidences([view], size)
    assert 0 < watch.numel <= max(view.scores.numel(), 2 * (1 << 16)) < 300 * size[0] * size[1] / 50


@pytest.mark.parametrize("size", [(20, 20), (33, 17), (7, 50)])
@pytest.mark.parametrize("rows_at_once", [1, 5, 1000])
def test_views_of_a_canvas_are_merged_there(monkeypatch, size, rows_at_once):
    """In blocks of rows as literally: layers are averaged, then resized from the canvas to the picture."""
    monkeypatch.setattr("errseg.modeling.prediction.BLOCK", rows_at_once * 3 * max(size[1], 20 * 20 // size[0]))
    generator = torch.Generator().manual_seed(0)
    places = [((0, 12), (0, 12), 0), ((0, 12), (8, 20), 0), ((8, 20), (0, 20), 0), ((0, 20), (0, 20), 1)]
    views = [
        ViewPrediction(
            torch.rand(3, 6, 6, generator=generator), torch.arange(3), rows, cols, canvas=(20, 20), layer=layer
        )
        for rows, cols, layer in places
    ]
    expected = merge(views, size)
    torch.testing.assert_close(dense_scores(views, size, 3), expected)
    assert (label_map(views, size) == expected.argmax(0)).float().mean() > 0.99
    whole = F.interpolate(views[3].scores[None], (20, 20), mode="bilinear")[0]
    windows = merge([view._replace(canvas=None) for view in views[:3]], (20, 20))
    literal = F.interpolate(((windows + whole) / 2)[None], size, mode="bilinear")[0]
    torch.testing.assert_close(expected, literal)
