"""CAT-Seg: batches, padding of images, equal names, what is trained, unsuitable values."""

import pytest
import torch

from errseg.errors import UsageError
from errseg.modeling.cat_seg.model import without_padding
from errseg.modeling.clip.build import build_clip
from errseg.modeling.clip.split import SplitAttention, split_attentions
from tests.conftest import DATA, NAMES

WINDOWS = ("TEST.SLIDING_WINDOW", True, "TEST.WINDOW_CANVAS", 100, "TEST.WINDOW_WHOLE", True)


@pytest.mark.parametrize("changes", [(), ("MODEL.COST.MAX_CLASSES", 3), WINDOWS], ids=["all", "three", "windows"])
def test_an_image_is_predicted_alike_in_every_batch(changes, cat_seg, make_batch):
    model, batch = cat_seg(*changes), make_batch(2, 50)
    with torch.no_grad():
        together = model(batch)
        for one, ours in zip(batch, together, strict=True):
            torch.testing.assert_close(model([one])[0]["sem_seg"], ours["sem_seg"], atol=1e-5, rtol=1e-4)


def test_the_share_of_padding_is_cut():
    ramp = torch.arange(96.0).view(1, 1, 1, 96).expand(1, 1, 96, 96)
    cut = without_padding(ramp, (64, 48))  # of 64 x 64
    assert cut.shape[-2:] == (64, 48)
    assert float(cut[0, 0, 0, -1]) == pytest.approx(47.5 * 96 / 64 - 0.5)
    assert without_padding(ramp, (32, 64)) is ramp


def test_of_equal_names_the_first_wins(cat_seg, make_batch):
    model = cat_seg("MODEL.COST.MAX_CLASSES", 7)
    text = model.text_embeddings[[0, 1, 2, 1, 3, 1, 4, 5]]
    model.text_embeddings = text
    with torch.no_grad():
        model.text_embeddings = text
        images = torch.cat([model.preprocess(x["image"], (64, 64)) for x in make_batch(2)])
        prediction = model.segment(images, text, len(NAMES))
        assert set(model.label_maps(make_batch(1))[0].unique().tolist()) <= {0, 1, 2, 4, 6, 7}
    for scores, kept in zip(prediction.scores, prediction.kept.tolist(), strict=True):
        assert all(torch.equal(scores[kept.index(1)], scores[kept.index(i)]) for i in (3, 5) if i in kept)
        assert len(kept) == 7 and (1 in kept or not {3, 5} & set(kept))


def test_a_dropped_class_of_the_ground_truth_counts_in_the_loss(cat_seg, make_batch):
    model = cat_seg("MODEL.COST.MAX_CLASSES", 1).train()
    assert model(make_batch(2))["loss_sem_seg"].item() > 100 / len(NAMES) / 3  # a third of the pixels at least


@pytest.mark.parametrize(
    ("image", "text", "count"), [("qv", "qv", 10), ("none", "qkv", 6), ("v", "none", 3), ("full", "none", 42)]
)
def test_what_is_trained_in_clip(cat_seg, image, text, count):
    model = cat_seg("MODEL.TOWER.TRAINED_IMAGE", image, "MODEL.TOWER.TRAINED_TEXT", text)
    trained = [name for name, p in model.backbone.clip.named_parameters() if p.requires_grad]
    assert len(trained) == count and all(".resblocks." in name for name in trained)
    assert model.text_is_trained == (text != "none")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("MODEL.TOWER.TRAINED_IMAGE", "qx"), "MODEL.TOWER.TRAINED_IMAGE = 'qx'; give some of the letters q, k, v"),
        (("MODEL.TOWER.RESOLUTION", 72), "MODEL.TOWER.RESOLUTION = 72 is no multiple of the patches' 16"),
        (("MODEL.AGGREGATION.WINDOW", 3), "MODEL.AGGREGATION.WINDOW = 3 does not divide the grid of 4 x 4"),
        (("MODEL.AGGREGATION.NUM_HEADS", 5), "MODEL.AGGREGATION.NUM_HEADS = 5 does not divide MODEL.AGGREGATION.DIM"),
        (("MODEL.AGGREGATION.ATTENTION", "soft"), "MODEL.AGGREGATION.ATTENTION = 'soft'; give one of linear, full"),
        (("MODEL.AGGREGATION.POOLING_TEST", [5, 1]), "MODEL.AGGREGATION.POOLING_TEST = .* up to the grid's 4"),
        (("MODEL.AGGREGATION.SPATIAL", False, "MODEL.AGGREGATION.CLASS", False), "are both False"),
        (("MODEL.COST.KIND", "sum"), "MODEL.COST.KIND = 'sum'; give one of cosine, features"),
        (("MODEL.UPSAMPLING.DIMS", [33, 16]), "MODEL.UPSAMPLING.DIMS: 33 channels do not split into 2 groups"),
        (("MODEL.UPSAMPLING.DIMS", [64, 16]), "MODEL.UPSAMPLING.DIMS: 32 channels leave none"),
        (("MODEL.UPSAMPLING.DIMS", [16]), "MODEL.UPSAMPLING.DIMS = .*two stages"),
        (("MODEL.CLIP.NAME", str(DATA / "tiny_clip.json")), "MODEL.CLIP.NAME has a .* for images"),
    ],
)
def test_an_unsuitable_value_is_named(cat_seg, changes, message):
    with pytest.raises(UsageError, match=message):
        cat_seg(*changes)


def test_split_attention_is_the_same_function():
    torch.manual_seed(0)
    clip = build_clip(str(DATA / "tiny_vit.json")).eval()
    tokens, images = torch.randint(1, 400, (2, 77)), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = clip.encode_text(tokens), clip.encode_image(images)
        split_attentions(clip)
        after = clip.encode_text(tokens), clip.encode_image(images)
    assert isinstance(clip.transformer.resblocks[0].attn, SplitAttention)
    for ours, own in zip(after, before, strict=True):
        torch.testing.assert_close(ours, own, atol=1e-5, rtol=1e-4)
