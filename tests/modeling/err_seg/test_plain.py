"""The model computes what the plain form computes, piece by piece and as a whole, on the CPU's parts and without."""

import functools

import open_clip
import pytest
import torch

from errseg.modeling import ConvNeXtCLIP, layers, system_of_model
from errseg.modeling.clip.text_tower import encode_prompts, shared_length
from errseg.modeling.err_seg.crm import CRM
from errseg.modeling.err_seg.escf import CFM, CSR, ESCF, SFM
from errseg.modeling.err_seg.gud import GUD
from errseg.modeling.err_seg.hsm import HSM, SingleScale
from errseg.modeling.err_seg.plain import PLAIN, PlainERRSeg, plain_form
from tests.conftest import NAMES
from tests.modeling.err_seg.test_model import ABLATIONS

B, K, C, H, W = 2, 3, 32, 6, 4


tokenizer = functools.cache(open_clip.SimpleTokenizer)


def rand(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture(params=["whole", "parts"])
def grad(request, monkeypatch):
    """Whether gradients are kept: if not, sequences go through in parts, here of one or two."""
    monkeypatch.setattr(layers, "CACHED", 2 * C)
    with torch.set_grad_enabled(request.param == "whole"):
        yield


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


# ---- pieces ----


def check(module, *inputs, **options):
    """The module computes what its plain form computes."""
    plain = plain_form(module)
    assert type(plain) is PLAIN.get(type(module), type(module))
    close(module(*inputs, **options), plain(*inputs, **options))


def test_hsm_is_one_convolution_a_scale(grad):
    costs = [rand(B, K, H, W), rand(B, K, H // 2, W // 2)]
    check(HSM(C), *costs, size=(H, W))
    check(SingleScale(C), costs[1], size=(H, W))


@pytest.mark.parametrize("ratio", [1, 2, 3])
def test_sfm_computes_the_guidance_once_an_image(ratio, grad):
    check(SFM(C, 4, ratio).eval(), rand(B, K, H, W, C), rand(B, H, W, C), None)


@pytest.mark.parametrize("ratio", [1, 2])
def test_cfm_computes_the_guidance_once_an_image(ratio, grad):
    cfm = CFM(C, 4).eval()
    check(CSR(cfm, ratio) if ratio > 1 else cfm, rand(B, K, H, W, C), None, rand(B, K, C))


def test_escf(grad):
    maps = [rand(B, 8, H // 2, W // 2), rand(B, 8, H, W)]
    check(ESCF((8, 8), 12, C, 4, 2).eval(), rand(B, K, H, W, C), maps, rand(B, K, 12))


@pytest.mark.parametrize("options", [{}, {"guidance_os16": False}, {"kernel_size": 5}])
def test_gud_computes_the_guidance_once_an_image(options, grad):
    maps = [rand(B, 10, H, W), rand(B, 8, 2 * H, 2 * W), rand(B, 6, 4 * H, 4 * W)]
    check(GUD(C, (10, 8, 6), **options), rand(B, K, H, W, C), maps)


def test_crm_keeps_the_classes_of_the_ranking_location_by_location():
    costs, present = rand(4, 40, 9, 7), torch.zeros(4, 40, dtype=torch.bool)
    present[:, 33] = True
    for classes in (None, present):
        kept = CRM()(costs, 5, classes)
        assert torch.equal(kept, plain_form(CRM())(costs, 5, classes))
        assert torch.equal(kept, CRM()(costs.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2), 5, classes))


@pytest.mark.parametrize("names", [NAMES, ["a"], ["sky", "sky"], ["one", "a very long name of many words indeed"]])
@pytest.mark.parametrize("template", ["a photo of a {}", "{}", "{} in the scene"])
def test_the_text_tower_leaves_out_only_what_changes_nothing(names, template, build):
    clip = build().backbone.clip
    tokens = tokenizer()([template.format(n) for n in names], clip.context_length)
    close(encode_prompts(clip, tokens), clip.encode_text(tokens))


def test_prompts_share_what_they_begin_with_and_keep_their_ends():
    begin = torch.tensor([[9, 1, 2, 3, 99, 0], [9, 1, 2, 4, 5, 99]])
    assert shared_length(begin) == 3
    assert shared_length(begin[:1]) == 4  # EOT is its own
    assert shared_length(begin[:, 1:] + torch.tensor([[0], [1]])) == 0


def test_a_tower_of_another_kind_is_left_to_open_clip(build):
    clip = build().backbone.clip
    clip.attn_mask = None
    tokens = tokenizer()(["a", "of the"], clip.context_length)
    close(encode_prompts(clip, tokens), clip.encode_text(tokens))


# ---- the whole ----


@pytest.mark.parametrize("changes", ABLATIONS, ids=lambda changes: "-".join(map(str, changes))[:60] or "paper")
def test_predictions_are_the_plain_forms(changes, build, make_batch):
    model = build("MODEL.CRM.NUM_CLASSES_TEST", 4, *changes)
    batch = make_batch(2)
    batch[1] |= {"height": 40, "width": 90}
    with torch.no_grad():
        expected = plain_form(model)(batch)
        results = model(batch)
        labels = model.label_maps(batch)
    for one, other, label in zip(results, expected, labels, strict=True):
        close(one["sem_seg"], other["sem_seg"])
        assert (label == other["sem_seg"].argmax(0)).float().mean() > 0.999


@pytest.mark.parametrize("changes", ABLATIONS, ids=lambda changes: "-".join(map(str, changes))[:60] or "paper")
def test_loss_and_gradients_are_the_plain_forms(changes, build, make_batch):
    model, batch = build(*changes).train(), make_batch(2)
    gradients = []
    for form in (model, plain_form(model)):
        model.zero_grad()
        torch.manual_seed(0)  # drop-path
        loss = form(batch)["loss_sem_seg"]
        loss.backward()
        gradients.append(
            {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None} | {"": loss}
        )
    ours, theirs = gradients
    assert ours.keys() == theirs.keys()
    largest = max(gradient.abs().max() for gradient in theirs.values())
    for name, gradient in theirs.items():
        assert (ours[name] - gradient).abs().max() <= 1e-4 * gradient.abs().max() + 1e-6 * largest, name


def test_gradient_checkpointing_changes_no_gradient(build, make_batch):
    batch, gradients, kept = make_batch(2), [], []
    for flag in (False, True):
        model = build("MODEL.GRADIENT_CHECKPOINTING", flag).train()
        torch.manual_seed(0)  # drop-path
        with torch.autograd.graph.saved_tensors_hooks(lambda x: (kept.append(x.numel()), x)[1], lambda x: x):
            kept.clear()
            loss = model(batch)["loss_sem_seg"]
        loss.backward()
        gradients.append(({n: p.grad for n, p in model.named_parameters() if p.grad is not None}, sum(kept)))
    (expected, all_kept), (ours, few_kept) = gradients
    assert few_kept < 0.6 * all_kept
    assert ours.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(ours[name], gradient, atol=1e-6, rtol=1e-4)


def test_views_are_averaged_as_the_plain_form_averages_them(build, make_batch):
    model, batch = build("TEST.FLIP", True, "TEST.SLIDING_WINDOW", True, "MODEL.CRM.NUM_CLASSES_TEST", 4), make_batch(2)
    batch[0]["image"] = batch[0]["image"].repeat(1, 1, 2)
    with torch.no_grad():
        for one, other in zip(model(batch), plain_form(model)(batch), strict=True):
            close(one["sem_seg"], other["sem_seg"])


def test_the_plain_form_is_a_model_of_its_own_on_the_same_weights(build, make_batch):
    model = build("MODEL.PROMPT.SYNONYMS", "mean")
    assert isinstance(model.backbone, ConvNeXtCLIP)
    plain = plain_form(model)
    assert isinstance(plain, PlainERRSeg) and system_of_model(plain) is system_of_model(model)
    assert all(one is other for one, other in zip(plain.parameters(), model.parameters(), strict=True))
    assert {type(module) for module in plain.modules()}.isdisjoint(PLAIN)
    plain.set_vocabulary(["sky, heaven", "sea"], num_classes=1)
    assert model.vocabulary.names == tuple(NAMES) and type(model.sem_seg_head) not in PLAIN.values()
    close(plain.text_embeddings, model.encode_names(model.tokenize(["sky, heaven", "sea"])).detach())
    with torch.no_grad():
        [label] = plain.label_maps(make_batch(1))
    assert len(label.unique()) == 1  # of the one name that is kept


def test_the_whole_model_compiles_into_one_graph(build):
    model, images = build("MODEL.CRM.NUM_CLASSES_TEST", 4), rand(1, 3, 64, 64)
    encoded = model.encoded()
    with torch.no_grad():
        compiled = torch.compile(model.segment, fullgraph=True, backend="eager")(images, encoded.text, encoded.num_kept)
        expected = model.segment(images, encoded.text, encoded.num_kept)
    close(compiled.scores, expected.scores)
    assert torch.equal(compiled.kept, expected.kept)
