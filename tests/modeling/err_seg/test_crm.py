"""K that fits the image: what CRM keeps of each image, and that images of a batch do not affect each other."""

import pytest
import torch

import errseg
from errseg.errors import UsageError
from errseg.modeling import cost_map, system_of_model
from errseg.modeling.err_seg import head
from errseg.modeling.err_seg.crm import CRM, best_of_blocks
from errseg.modeling.err_seg.export import AnyNumberCRM, TracedCRM
from errseg.modeling.num_kept import AutoKept
from errseg.modeling.taps import watch
from tests.conftest import NAMES

AUTO = ("MODEL.CRM.NUM_CLASSES_TEST", "auto", "MODEL.CRM.AUTO_THRESHOLD", 0.15)


def costs(*winners, names=6):
    """(B, T, 2, 2) cosines; each image's four locations have the given best names, and no second best among them."""
    cost = torch.zeros(len(winners), names, 4)
    for image, best in zip(cost, winners, strict=True):
        image[list(best), range(4)] = 1.0
    return cost.view(-1, names, 2, 2)


def test_crm_keeps_the_names_that_reach_the_threshold():
    cost, crm = costs((5, 5, 5, 5), (4, 1, 4, 1), (3, 0, 2, 5)), CRM(top_categories=1)
    assert crm(cost, AutoKept(0.25)).tolist() == [[5, -1, -1, -1], [1, 4, -1, -1], [0, 2, 3, 5]]
    assert crm(cost, AutoKept(0.5)).tolist() == [[5, -1], [1, 4], [0, -1]]  # of equal points, the lower id
    assert crm(cost, AutoKept(0.25, least=2, most=2)).tolist() == [[0, 5], [1, 4], [0, 2]]
    present = torch.zeros(3, 6, dtype=torch.bool)
    present[0, :3] = True
    assert crm(cost, AutoKept(0.25, most=2), present).tolist() == [[0, 1, 2], [1, 4, -1], [0, 2, -1]]
    for traced in (TracedCRM(crm), AnyNumberCRM(crm)):
        assert torch.equal(traced(cost, AutoKept(0.25)), crm(cost, AutoKept(0.25)))
        assert traced(cost[:1], AutoKept(0.25)).tolist() == [[5, -1]]  # a traced K is at least 2


def images(count):
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_images_of_different_k_give_in_a_batch_what_they_give_alone(build, precision):
    model = build(*AUTO).eval()
    model.set_precision(precision)
    text, auto = model.encoded().text, model.encoded().num_kept
    together = model.segment(images(4), text, auto)
    assert len(set((together.kept >= 0).sum(1).tolist())) == 3  # 2, 3 and 4 names
    for i, image in enumerate(images(4).split(1)):
        alone = model.segment(image, text, auto)
        count = alone.kept.shape[1]
        assert torch.equal(together.kept[i, :count], alone.kept[0])
        assert (together.scores[i, count:] == together.dropped).all()
        torch.testing.assert_close(
            together.scores[i, :count], alone.scores[0], atol=1e-5 if precision == "float32" else 0.02, rtol=1e-3
        )
        fixed = model.segment(image, text, count)  # the same names, by their number
        assert torch.equal(alone.kept, fixed.kept) and torch.equal(alone.scores, fixed.scores)


def test_the_plain_form_sees_each_image_alone(build, make_batch):
    model = build(*AUTO, "MODEL.CRM.NUM_CLASSES_TRAIN", "auto", "MODEL.ESCF.DROP_PATH", 0.0)
    plain, batch = system_of_model(model).plain_form(model), make_batch(3)
    with torch.no_grad():
        for fast, literal in zip(model.eval()(batch), plain.eval()(batch), strict=True):
            torch.testing.assert_close(fast["sem_seg"], literal["sem_seg"], atol=1e-5, rtol=1e-4)
    losses = [each.train()(batch)["loss_sem_seg"] for each in (model, plain)]
    torch.testing.assert_close(*losses)
    gradients = []
    for loss in losses:  # the two models have the same parameters
        loss.backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
        model.zero_grad()
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-3)


def test_the_word_auto_in_python_and_in_the_configuration(build, tiny_cfg, make_batch):
    model = build()
    model.set_vocabulary(NAMES, num_classes="auto")
    assert model.vocabulary.num_kept == AutoKept(0.005, 1, 64)
    segmenter = errseg.Segmenter(model, tiny_cfg)
    segmenter.set_vocabulary(NAMES, num_classes="auto")
    result = segmenter(make_batch(1)[0]["image"].permute(1, 2, 0).numpy())
    assert len(result.kept) == sum(each.score >= 0.005 for each in result.kept) >= 1
    with pytest.raises(UsageError, match="num_classes = 'all'; give a whole number or 'auto'"):
        segmenter.set_vocabulary(NAMES, num_classes="all")
    tiny_cfg.merge_from_list(["MODEL.CRM.NUM_CLASSES_TEST", "auto"])
    tiny_cfg.merge_from_list(["MODEL.CRM.NUM_CLASSES_TEST", "7"])
    assert tiny_cfg.MODEL.CRM.NUM_CLASSES_TEST == 7
    tiny_cfg.MODEL.CRM.ENABLED = False
    with pytest.raises(UsageError, match="num_classes = auto, but this ERRSeg keeps every name"):
        errseg.build_model(tiny_cfg).set_vocabulary(NAMES, num_classes="auto")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("MODEL.CRM.NUM_CLASSES_TEST", "automatic"), "MODEL.CRM.NUM_CLASSES_TEST cannot be 'automatic'"),
        (("MODEL.CRM.AUTO_MIN", 9, "MODEL.CRM.AUTO_MAX", 3), "MODEL.CRM.AUTO_MAX = 3 is less than MODEL.CRM.AUTO_MIN"),
        (("MODEL.CRM.AUTO_THRESHOLD", 3.0), "MODEL.CRM.AUTO_THRESHOLD = 3.0; give 0 to 2"),
    ],
)
def test_what_is_no_k_ends_in_a_sentence(tiny_cfg, changes, message):
    from errseg.config import apply_overrides

    with pytest.raises(UsageError, match=message):
        apply_overrides(tiny_cfg, changes)
        errseg.build_model(tiny_cfg)


@pytest.mark.parametrize("num_kept", [5, AutoKept(0.02, most=9)])
def test_blocks_of_names_rank_as_all_at_once(monkeypatch, num_kept):
    """Also where cosines are equal: within a block, between blocks, and at the last rank that scores."""
    monkeypatch.setattr(cost_map, "BLOCK", 7)
    generator = torch.Generator().manual_seed(0)
    dense = torch.randint(-1, 2, (2, 4, 6, 6), generator=generator).float()
    text = torch.randint(-1, 2, (60, 4), generator=generator).float()  # few values: many cosines are equal
    blocks, crm = cost_map.CostBlocks(dense, text, (9, 9)), CRM()
    whole = blocks.whole()
    in_order = whole.flatten(2).sort(dim=1, descending=True, stable=True).indices
    assert torch.equal(best_of_blocks(blocks, 3), in_order[:, :3])
    blocks = cost_map.CostBlocks(dense, text, (6, 6))
    untied = blocks.whole() + torch.linspace(0, -1e-3, 60).view(-1, 1, 1)  # topk of all at once takes the lower id too
    assert torch.equal(crm.scores(blocks), crm.scores(untied))
    present = torch.arange(60).expand(2, -1) == 33
    for known in (None, present):
        assert torch.equal(crm(blocks, num_kept, known), crm(untied, num_kept, known))


@torch.no_grad()
@pytest.mark.parametrize("num_kept", [4, AutoKept(0.1)])
def test_a_model_labels_in_blocks_as_at_once(build, monkeypatch, num_kept):
    model = build().eval()
    text = torch.nn.functional.normalize(torch.randn(50, model.encoded().text.shape[1]), dim=-1)
    whole = model.segment(images(2), text, num_kept, show=True)
    for module in (cost_map, head):
        monkeypatch.setattr(module, "BLOCK", 8)
    with watch(model, ["cost"]) as seen:
        blocks = model.segment(images(2), text, num_kept, show=True)
    assert torch.equal(blocks.kept, whole.kept) and torch.equal(blocks.scores, whole.scores)
    assert torch.equal(blocks.shown["ranking"], whole.shown["ranking"]) and seen["cost"][0].shape[:2] == (2, 50)
