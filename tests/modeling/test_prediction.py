"""Label maps and dense scores: the same prediction two ways, of one view and of several."""

import pytest
import torch
import torch.nn.functional as F

from errseg.modeling import prediction as output
from errseg.modeling.prediction import ViewPrediction, dense_scores, label_map
from tests.conftest import NAMES


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


def test_label_maps_never_hold_a_score_for_every_name(build, make_batch):
    model = build()
    model.set_vocabulary([f"name {i}" for i in range(500)], num_classes=3)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                largest = max(largest, result.numel())
            return result

    inputs = {**make_batch(1)[0], "height": 256, "width": 256}
    with torch.no_grad(), Watch():
        model.label_maps([inputs])
    assert 0 < largest < 256 * 256 * 100


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
