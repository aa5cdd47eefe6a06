"""DeOP: sizes, batches, precision, and what trains."""

import pytest
import torch
import torch.nn.functional as F

from errseg.config import config_path, load_config
from errseg.errors import UsageError
from errseg.modeling import build_on_meta
from errseg.modeling.deop.regions import MULTIPLE
from errseg.modeling.weights import WeightSources
from tests.conftest import NAMES


def pictures(*sizes):
    generator = torch.Generator().manual_seed(3)
    return [{"image": torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8)} for size in sizes]


@torch.no_grad()
def test_the_prediction_is_that_of_section_6(deop):
    """Literally: masks at the padded size, cut to the image, mixed by the classes, resized to what is asked for."""
    model, [inputs] = deop(), pictures((40, 72))
    image = F.pad(model.normalize(inputs["image"].float()), (0, 24, 0, 24))[None]  # zeros, after normalising
    masks = model.proposals(image).masks
    regions = model.anchors(model.backbone(image, masks), masks)
    rows = torch.cat([model.text_embeddings, F.normalize(model.classifier.no_object, dim=-1)])
    classes = (100 * regions @ rows.T).softmax(-1)[0, :, :-1]
    masks = F.interpolate(masks, size=(64, 96), mode="bilinear")[0, :, :40, :72].sigmoid()
    wanted = torch.einsum("nc,nhw->chw", classes, masks)
    torch.testing.assert_close(model([inputs])[0]["sem_seg"], wanted, atol=1e-4, rtol=1e-4)
    larger = F.interpolate(wanted[None], size=(80, 100), mode="bilinear")[0]
    found = model([inputs | {"height": 80, "width": 100}])[0]["sem_seg"]
    torch.testing.assert_close(found, larger, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_batch_gives_what_single_images_give(deop):
    """An image is padded to its own multiple of 32, not to the largest image of the batch, which would change it."""
    model, batch = deop(), pictures((64, 64), (40, 72), (64, 64), (33, 95), (64, 96))
    alone = [model([inputs])[0]["sem_seg"] for inputs in batch]
    for ours, single, inputs in zip(model(batch), alone, batch, strict=True):
        assert single.shape == (len(NAMES), *inputs["image"].shape[1:])
        torch.testing.assert_close(ours["sem_seg"], single, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_padding_changes_a_prediction_as_in_the_release(deop):
    """Both networks see the padding to a multiple of 32: a picture with grey in its place gives the same."""
    model, [inputs] = deop(), pictures((64, 50))
    mean = model.pixel_mean.round()
    grey = torch.cat([inputs["image"].float(), mean.expand(3, 64, MULTIPLE * 2 - 50)], dim=2)
    padded = model([{"image": grey}])[0]["sem_seg"][..., :50]
    torch.testing.assert_close(model([inputs])[0]["sem_seg"], padded, atol=0.05, rtol=0.05)  # the mean is rounded


def test_what_trains_and_what_does_not(deop, make_batch):
    model = deop().train()
    assert not any(module.training for module in model.proposals.modules())
    losses = model(make_batch(2))
    assert losses.keys() == {"loss_focal", "loss_dice"}
    sum(losses.values()).backward()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert all(name.split(".")[0] in ("anchors", "prompt", "classifier") or "learned" in name for name in trained)
    grads = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert all(grad is not None for grad in grads.values())
    zero = {name for name, grad in grads.items() if not grad.any()}
    assert zero == {"anchors.norm.weight", "anchors.norm.bias"}
    assert all(p.grad is None for p in model.proposals.parameters())


def test_the_weights_of_the_losses(deop, make_batch):
    once, twice = (
        deop("MODEL.LOSS.FOCAL", focal, "MODEL.LOSS.DICE", dice).eval() for focal, dice in ((2.0, 0.8), (4.0, 0.4))
    )
    for model in (once, twice):
        model.training = True  # without dropout
    a, b = once(make_batch(1)), twice(make_batch(1))
    torch.testing.assert_close(b["loss_focal"], 2 * a["loss_focal"])
    torch.testing.assert_close(b["loss_dice"], a["loss_dice"] / 2)


def test_training_pads_labels_with_the_ignore_label(deop, make_batch):
    model, [inputs] = deop(), make_batch(1)
    model.training = True
    cut = {"image": inputs["image"][:, :50], "sem_seg": inputs["sem_seg"][:50]}
    mean = model.pixel_mean.expand(3, 14, 64)
    whole = {
        "image": torch.cat([cut["image"].float(), mean], dim=1),
        "sem_seg": torch.cat([cut["sem_seg"], torch.full((14, 64), 255)]),
    }
    for ours, theirs in zip(model([cut]).values(), model([whole]).values(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_frozen_prompt_keeps_its_embeddings_in_training(deop):
    model = deop("MODEL.PROMPT.TRAINED", False)
    before = model.text_embeddings
    assert not model.text_is_trained and model.train().text_embeddings is before
    trained = deop("MODEL.PROMPT.TRAINED", True)
    assert trained.text_is_trained and trained.train().text_embeddings is None


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@torch.no_grad()
def test_half_precision(deop, precision, make_batch):
    batch = make_batch(1)
    whole = deop()(batch)[0]["sem_seg"]
    half = deop()
    half.set_precision(precision)
    scores = half(batch)[0]["sem_seg"]
    assert scores.dtype == torch.float32 and scores.isfinite().all()
    assert (scores.argmax(0) == whole.argmax(0)).float().mean() > 0.8
    with pytest.raises(UsageError, match="only for tests"):
        half.train()


@torch.no_grad()
def test_the_dense_embedding(deop):
    model, [inputs] = deop(), pictures((40, 72))
    dense = model.dense_embedding(inputs["image"])
    assert dense.shape == (32, 4, 6)
    torch.testing.assert_close(dense.norm(dim=0), torch.ones(4, 6))


@pytest.mark.parametrize(
    "changes",
    [
        ("MODEL.PATCH_SEVERANCE.MODE", "guided", "MODEL.PATCH_SEVERANCE.BLOCKS", [0, 2]),
        ("MODEL.PATCH_SEVERANCE.MODE", "plain", "MODEL.PATCH_SEVERANCE.BLOCKS", []),
        ("MODEL.POSITIONS.ENABLED", False),
        ("MODEL.POSITIONS.GRID", 5, "MODEL.POSITIONS.BLOCKS", [0, 2]),
        ("MODEL.ANCHORS.NUM_LAYERS", 0),
        ("MODEL.ANCHORS.NUM_LAYERS", 2, "MODEL.ANCHORS.MASKED", True),
        ("MODEL.PROMPT.LEARNED", False, "MODEL.PROMPT.TEMPLATES", ("vild",)),
        ("MODEL.PROPOSALS.NUM_QUERIES", 7),
    ],
    ids=str,
)
def test_every_key_builds_runs_a_step_and_a_prediction(deop, make_batch, changes):
    model = deop(*changes)
    with torch.no_grad():
        assert model(make_batch(1))[0]["sem_seg"].shape == (len(NAMES), 64, 64)
    sum(model.train()(make_batch(2)).values()).backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


# Millions of parameters by the beginning of their names (contract, first table)
MILLIONS = {
    "proposals.backbone.": 42.5,
    "proposals.pixel_decoder.": 7.5,
    "proposals.predictor.": 11.0,
    "backbone.clip.visual.": 86.2,
    "backbone.clip.": 149.6,
    "backbone.learned.": 2.66,
    "anchors.anchors.": 0.05,
    "anchors.": 5.05,
    "prompt.": 0.008192,
    "classifier.": 0.000512,
    "": 218.4,
}


def test_the_parameters_of_the_released_size():
    model = build_on_meta(load_config(config_path("deop_vit_b16")))
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    for start, millions in MILLIONS.items():
        count = sum(size for name, size in sizes.items() if name.startswith(start)) / 1e6
        assert round(count, len(str(millions).split(".")[1])) == millions, start
    constants = {name: value.numel() for name, value in model.state_dict().items() if name not in sizes}
    assert all(name.startswith("proposals.backbone.") for name in constants)
    assert sum(constants.values()) / 1e6 == pytest.approx(0.2, abs=0.05)
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert len(trained) == 37 and sum(sizes[name] for name in trained) / 1e6 == pytest.approx(7.71, abs=0.005)
    lines = WeightSources.of(model).describe(model).splitlines()[1:]
    assert [float(line.split(" M,")[0].split()[-1]) for line in lines] == [63.43, 86.19, 2.66, 61.07, 5.05, 0.01, 0.00]
    assert len({line.index(" M,") for line in lines}) == 1  # in columns
