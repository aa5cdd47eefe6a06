"""SED: what is trained and by what, names, protocols, and keys that do not fit."""

import pytest
import torch

from errseg.engine import build_optimizer
from errseg.errors import UsageError
from errseg.modeling import system_of_model
from errseg.modeling.weights import RANDOM, WeightSources, require_weights
from tests.conftest import NAMES

ABLATIONS = [
    (),
    ("MODEL.FUSION.SPATIAL", "none"),
    ("MODEL.FUSION.CLASS_ATTENTION", "softmax"),
    ("MODEL.FUSION.CLASS_ATTENTION", "none"),
    ("MODEL.FUSION.FEATURE_GUIDANCE", False),
    ("MODEL.FUSION.COST_GUIDANCE", False),
    ("MODEL.FUSION.DETACH", False),
    ("MODEL.FUSION.POOLING_TEST", 2, "MODEL.FUSION.POOLING", 1),
    ("MODEL.REJECTION.ENABLED", True, "MODEL.REJECTION.TOP_K", 2),
    ("MODEL.PROMPT.TEMPLATES", ("a {}",)),
]


@pytest.mark.parametrize("changes", ABLATIONS, ids=lambda changes: " ".join(map(str, changes)))
def test_every_form_trains_and_equals_its_plain_form(changes, sed, make_batch):
    """Images of a batch, too: with early rejection, each has names of its own."""
    model, batch = sed(*changes), make_batch(2)
    plain = system_of_model(model).plain_form(model)
    with torch.no_grad():
        ours, literal = model(batch), plain(batch)
    for image, mine, theirs in zip(batch, ours, literal, strict=True):
        torch.testing.assert_close(mine["sem_seg"], theirs["sem_seg"], atol=1e-5, rtol=1e-4)
        with torch.no_grad():
            torch.testing.assert_close(model([image])[0]["sem_seg"], mine["sem_seg"], atol=1e-5, rtol=1e-4)
    gradients = []
    for form in (model.train(), plain.train()):
        losses = form(batch)
        assert set(losses) == {"loss_sem_seg", "loss_aux0", "loss_aux1", "loss_aux2"}
        form.zero_grad()
        sum(losses.values()).backward()
        gradients.append({name: p.grad.clone() for name, p in form.named_parameters() if p.requires_grad})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(
            gradient, gradients[1][name], atol=2e-5, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}"
        )


def trained(model, loss):
    """The parameters that a loss reaches."""
    model.zero_grad()
    loss.backward()
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


def test_the_auxiliary_losses_train_their_heads_alone(sed, make_batch):
    model, batch = sed().train(), make_batch(1)
    for i in range(3):
        head = f"decoder.aux_heads.{i}."
        assert trained(model, model(batch)[f"loss_aux{i}"]) == {f"{head}weight", f"{head}bias"}
    assert not any("aux" in name for name in trained(model, model(batch)["loss_sem_seg"]))


def test_the_auxiliary_heads_alone(sed, make_batch, tiny_cfg):
    """The second stage of the release: the same losses of the heads, and nothing else moves."""
    batch, both = make_batch(1), sed().train()(make_batch(1))
    model = sed("MODEL.REJECTION.HEADS_ONLY", True).train()
    losses = model(batch)
    assert losses == {name: both[name] for name in ("loss_aux0", "loss_aux1", "loss_aux2")}
    heads = {f"decoder.aux_heads.{i}.{part}" for i in range(3) for part in ("weight", "bias")}
    assert trained(model, sum(losses.values())) == heads
    assert {name for name, p in model.named_parameters() if p.requires_grad} == heads
    groups = build_optimizer(tiny_cfg, model).param_groups
    assert sum(len(group["params"]) for group in groups) == len(heads)
    tiny_cfg.MODEL.CLIP.PRETRAINED = "clip.pt"
    model.weight_sources = WeightSources({"CLIP image tower": "clip.pt", "stage 1": RANDOM})
    with pytest.raises(UsageError, match="^MODEL.WEIGHTS is empty, and this training does not change the stage 1"):
        require_weights(tiny_cfg, model)


@pytest.mark.parametrize("detach", [True, False])
def test_the_guidance_trains_the_image_tower_only_if_asked(detach, sed, make_batch):
    model = sed("MODEL.FUSION.DETACH", detach).train()
    model.costs = lambda dense, text: torch.rand(1, len(NAMES), 2, 2, 2)  # no gradient comes through the cost map
    reached = trained(model, model(make_batch(1))["loss_sem_seg"])
    assert any(name.startswith("backbone.") for name in reached) != detach


def test_norms_have_the_released_eps(sed):
    model = sed()
    for stage in model.decoder.stages:
        assert stage.spatial.norm.eps == 1e-6 and stage.attention.norm1.eps == stage.attention.norm2.eps == 1e-5
        assert stage.skip.refine[1].eps == stage.skip.refine[4].eps == 1e-5
    x = torch.tensor([[1e-3, -1e-3]])  # the variance is that of the eps
    expected = x / (x.var(unbiased=False) + 1e-6).sqrt()
    norm = type(model.decoder.stages[0].spatial.norm)(2)
    torch.testing.assert_close(norm(x), expected)


@pytest.mark.parametrize(
    ("finetune", "inside"), [("full", ""), ("conv", "conv"), ("mlp", "mlp"), ("full_res5", "stages.3")]
)
def test_what_is_trained_in_the_image_tower(finetune, inside, sed):
    model = sed("MODEL.CLIP.FINETUNE", finetune)
    tower = {name: p.requires_grad for name, p in model.backbone.clip.named_parameters() if name.startswith("visual.")}
    assert tower == {name: inside in name for name in tower} and any(tower.values())
    assert not any(p.requires_grad for n, p in model.backbone.clip.named_parameters() if not n.startswith("visual."))


@pytest.mark.parametrize("decay", [True, False])
def test_the_recipes_groups(decay, sed, tiny_cfg):
    model = sed("MODEL.FUSION.DECAY_NORMS", decay, "SOLVER.WEIGHT_DECAY_NORM", 0.0, "SOLVER.CLIP_MULTIPLIER", 0.01)
    groups = {id(p): group for group in build_optimizer(tiny_cfg, model).param_groups for p in group["params"]}
    of = {name: groups[id(p)] for name, p in model.named_parameters() if id(p) in groups}
    stage, lr, weight_decay = "decoder.stages.0", tiny_cfg.SOLVER.BASE_LR, tiny_cfg.SOLVER.WEIGHT_DECAY
    assert of[f"{stage}.spatial.norm.weight"]["weight_decay"] == (weight_decay if decay else 0)
    assert (
        of[f"{stage}.attention.norm1.weight"]["weight_decay"]
        == of[f"{stage}.skip.refine.1.weight"]["weight_decay"]
        == 0
    )
    assert of[f"{stage}.attention.q.weight"]["weight_decay"] == weight_decay
    tower = [group for name, group in of.items() if name.startswith("backbone.clip.visual.")]
    assert {group["lr"] for group in tower} == {0.01 * lr} and of[f"{stage}.attention.q.weight"]["lr"] == lr


def test_names_keep_their_templates_apart_and_average_synonyms(sed):
    model = sed()
    model.set_vocabulary(["sky, heaven", "sea,side"])
    encode = model.backbone.encode_text
    with torch.no_grad():
        sky, heaven, sea = (
            encode(model.prompter.tokenizer([f"a {name}.", f"the {name}"])) for name in ("sky", "heaven", "sea,side")
        )
    assert model.text_embeddings.shape == (2, 2, model.backbone.embed_dim)
    mean = torch.nn.functional.normalize(sky + heaven, dim=-1)
    torch.testing.assert_close(model.text_embeddings, torch.stack([mean, sea]))  # no blank, no synonyms


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "MODEL.CLIP.FINETUNE",
            "all",
            "MODEL.CLIP.FINETUNE = 'all'; give 'full', 'conv', 'mlp', 'full_res5' or 'none'",
        ),
        ("MODEL.REJECTION.TOP_K", 0, "MODEL.REJECTION.TOP_K = 0; give 1 to"),
        ("MODEL.FUSION.DIM", 40, "MODEL.FUSION.DIM = 40 is no multiple of 16"),
        ("MODEL.FUSION.DIM", 112, "MODEL.FUSION.DIM: a stage has 56 output channels"),
        ("MODEL.FUSION.KERNEL_SIZES", [9, 8, 9], "MODEL.FUSION.KERNEL_SIZES has 8, which is even"),
        ("MODEL.FUSION.KERNEL_SIZES", [9], r"MODEL.FUSION.KERNEL_SIZES = \[9\]; give a size for each"),
        ("MODEL.FUSION.SPATIAL", "swin", "MODEL.FUSION.SPATIAL = 'swin'; give 'convnext' or 'none'"),
        ("MODEL.FUSION.CLASS_ATTENTION", "full", "MODEL.FUSION.CLASS_ATTENTION = 'full'; give 'linear', 'softmax' or"),
        ("MODEL.FUSION.POOLING_TEST", 3, "MODEL.FUSION.POOLING_TEST = 3, but INPUT.RESOLUTION_TEST = 64 gives"),
        ("MODEL.FUSION.POOLING", 0, "MODEL.FUSION.POOLING = 0; give 1 to 64"),
        ("INPUT.RESOLUTION_TRAIN", 32, "INPUT.RESOLUTION_TRAIN = 32"),
        ("INPUT.RESOLUTION_TEST", 80, "INPUT.RESOLUTION_TEST = 80 is no multiple of 32"),
        ("MODEL.BACKBONE.NAME", "ConvNeXtCLIP", "is no encoder of SED; give DenseConvNeXtCLIP"),
    ],
)
def test_unsuitable_values_name_their_key(key, value, message, sed):
    with pytest.raises(UsageError, match=message):
        sed(key, value)
