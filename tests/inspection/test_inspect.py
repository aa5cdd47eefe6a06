"""Inspections: the arrays, for the paper's model and its ablations; what cannot be shown; predictions unchanged."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from errseg.errors import UsageError
from errseg.inspection import SpatialAttention, inspect
from errseg.modeling import register, system_of
from tests.conftest import DATA, NAMES

VIT = ("MODEL.BACKBONE.NAME", "ViTCLIP", "MODEL.HSM.ENABLED", False, "MODEL.CLIP.NAME", str(DATA / "tiny_vit.json"))
GRID = (4, 4)


def sums_to_one(weights):
    np.testing.assert_allclose(weights.sum((-2, -1)), 1, rtol=1e-5)


def test_shapes_of_everything(segmenter, picture):
    found = inspect(segmenter(), picture, layer=2)
    assert found.image.shape == picture.shape and found.labels.shape == found.confidence.shape == (50, 70)
    assert found.names[2] == "sky"  # synonyms are asked for one by one
    assert len(found.names) == len(NAMES) + 1
    assert {name: x.shape for name, x in found.cost.items()} == {"E16": (9, 4, 4), "E32": (9, 2, 2)}
    assert all(np.abs(x).max() <= 1 + 1e-5 for x in found.cost.values())
    assert found.crm.scores.shape == (9,) and found.crm.kept.shape == (3,) and found.crm.num_classes == 3
    attention = found.attention
    assert (attention.layer, attention.num_layers) == (2, 2)
    for run in (attention.spatial, attention.spatial_all):
        assert run.weights.shape == (1, 4, 2, 2) and run.cell == (35, 25)
        sums_to_one(run.weights)
    assert attention.spatial.classes == (found.labels[found.point[1], found.point[0]],)
    assert attention.classes.mean.shape == attention.classes.at_point.shape == (4, 3, 3)
    assert attention.classes_all.mean.shape == (4, 9, 9)
    np.testing.assert_array_equal(attention.classes.classes, found.kept)
    for weights in (attention.classes.mean, attention.classes_all.at_point):
        np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    guidance = found.guidance
    assert guidance.image.shape == (32, 4, 4) and guidance.text.shape == (3, 32)
    assert {name: x.shape[1:] for name, x in guidance.decoder.items()} == {"os16": GRID, "os8": (8, 8), "os4": (16, 16)}


@torch.no_grad()
def test_it_is_what_the_model_does(segmenter, picture):
    made = segmenter()
    before = made.model(batch := [made.inputs(picture)])[0]["sem_seg"]
    found = inspect(made, picture)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in made.model.modules())
    torch.testing.assert_close(made.model(batch)[0]["sem_seg"], before, rtol=0, atol=0)
    np.testing.assert_array_equal(found.labels, made.model.label_maps(batch)[0])
    np.testing.assert_allclose(found.confidence, before.amax(0), rtol=1e-5)
    similarity = made.similarity(picture, list(found.names))
    np.testing.assert_allclose(found.cost["E16"], similarity, atol=1e-5)
    result = made(picture)
    assert {found.names[i] for i in found.kept} == {
        made.vocabulary.prompts[i] for i in found.crm.order[:3]
    }  # what was kept ranks first
    scores = {kept.name: kept.score for kept in result.kept}
    for index in found.kept:
        owner = made.names[made.vocabulary.prompt_classes[index]]
        assert found.crm.scores[index] <= scores[owner] + 1e-6


def test_scores_are_points_per_location(segmenter, picture):
    ranking = inspect(segmenter(), picture, ["crm"]).crm
    assert ranking.scores.sum() == pytest.approx(1.11, abs=1e-5)
    assert sorted(ranking.order.tolist()) == list(range(9))
    assert ranking.scores[ranking.kept].min() >= np.delete(ranking.scores, ranking.kept).max()
    assert (np.diff(ranking.scores[ranking.order[:3]]) <= 0).all()


def test_without_crm_every_name_is_kept_as_by_a_model_without_crm(segmenter, picture):
    """The second run is that of the same weights with K = T."""
    with_crm = inspect(segmenter(num_classes=3), picture, ["attention"], point=(20, 30), show=["grass"])
    without = inspect(segmenter(num_classes=0), picture, ["attention"], point=(20, 30), show=["grass"])
    assert without.attention.spatial_all is None and without.attention.classes_all is None
    for all_names, alone in (
        (with_crm.attention.spatial_all.weights, without.attention.spatial.weights),
        (with_crm.attention.classes_all.at_point, without.attention.classes.at_point),
    ):
        np.testing.assert_allclose(all_names, alone, atol=1e-6)


def test_layer_one_has_seen_one_name_alone(segmenter, picture):
    """Classes meet in CFM: before it, CRM changes nothing of what a class kept attends to."""
    attention = inspect(segmenter(), picture, ["attention"], layer=1).attention
    np.testing.assert_allclose(attention.spatial.weights, attention.spatial_all.weights, atol=1e-6)


def test_a_name_that_crm_dropped_is_there_without_it(segmenter, picture):
    made = segmenter()
    kept = inspect(made, picture, ["crm"]).kept
    dropped = next(i for i in range(9) if i not in kept)
    attention = inspect(made, picture, ["attention"], show=[made.vocabulary.prompts[dropped]]).attention
    assert attention.spatial.classes == () and attention.spatial_all.classes == (dropped,)
    assert attention.spatial.weights.shape == (0, 4, 2, 2)


def test_show_and_point(segmenter, picture):
    made = segmenter()
    found = inspect(made, picture, ["cost"], show=["Grass", "sky, heaven"])
    assert [found.names[i] for i in found.shown] == ["grass", "sky", "heaven"]
    largest = found.winners[0]
    automatic = inspect(made, picture, ["cost"])
    x, y = automatic.point
    assert automatic.labels[y, x] == largest == automatic.shown[0]
    assert automatic.confidence[y, x] == automatic.confidence[automatic.labels == largest].max()
    assert inspect(made, picture, ["cost"], point=(69, 49)).point == (69, 49)


def test_reach_is_a_mean_distance():
    weights = np.zeros((2, 2), np.float32)
    weights[0, 0], weights[0, 1] = 0.25, 0.75
    run = SpatialAttention((0,), weights[None, None], query=(10, 10), cell=(20, 20))
    assert run.mean_distance(weights) == pytest.approx(0.75 * 20)


ABLATIONS = {
    "without HSM": (("MODEL.HSM.ENABLED", False), {"cost": ["E32"]}),
    "without CRM": (("MODEL.CRM.ENABLED", False), {"crm": None}),
    "without ESCF": (("MODEL.ESCF.ENABLED", False), {"attention": None}),
    "SFM only": (("MODEL.ESCF.CFM", False), {"classes": None, "text": None}),
    "CFM only": (("MODEL.ESCF.SFM", False), {"spatial": None, "image": None}),
    "without reduction": (("MODEL.ESCF.SSR_RATIO", 1, "MODEL.ESCF.CSR_RATIO", 1), {"keys": GRID}),
    "SSR 3": (("MODEL.ESCF.SSR_RATIO", 3), {"keys": (1, 1)}),
    "without GUD": (("MODEL.GUD.ENABLED", False), {"decoder": []}),
    "without os16 guidance": (("MODEL.GUD.GUIDANCE_OS16", False), {"decoder": ["os8", "os4"]}),
    "ViT": (VIT, {"cost": ["E16"]}),
    "bfloat16": (("MODEL.PRECISION", "bfloat16"), {}),
}


@pytest.mark.parametrize("name", ABLATIONS)
@torch.no_grad()
def test_ablations(name, segmenter, picture):
    changes, expected = ABLATIONS[name]
    expected = {"cost": ["E16", "E32"], "crm": 3, "attention": 2, "classes": 3, "spatial": 1, "text": 3, "image": 32,
                "keys": (2, 2), "decoder": ["os16", "os8", "os4"]} | expected  # fmt: skip
    made = segmenter(*changes)
    found = inspect(made, picture)
    np.testing.assert_array_equal(found.labels, made.model.label_maps([made.inputs(picture)])[0])
    assert list(found.cost) == expected["cost"]
    assert (found.crm and len(found.crm.kept)) == expected["crm"]
    assert list(found.guidance.decoder) == expected["decoder"]
    assert (found.attention and found.attention.num_layers) == expected["attention"]
    if found.attention is None:
        assert found.guidance.image is None and found.guidance.text is None
        return
    attention, guidance = found.attention, found.guidance
    kept = 9 if expected["crm"] is None else 3
    assert (
        attention.classes is None if expected["classes"] is None else attention.classes.mean.shape[1:] == (kept, kept)
    )
    assert guidance.text is None if expected["text"] is None else len(guidance.text) == kept
    assert guidance.image is None if expected["image"] is None else len(guidance.image) == 32
    assert (attention.spatial_all is None) == (kept == 9 or expected["spatial"] is None)
    if expected["spatial"] is None:
        assert attention.spatial is None
    else:
        assert attention.spatial.weights.shape[2:] == expected["keys"]
        sums_to_one(attention.spatial.weights)


@pytest.mark.parametrize(
    ("changes", "what", "key"),
    [
        (("MODEL.CRM.ENABLED", False), "crm", "MODEL.CRM.ENABLED"),
        (("MODEL.ESCF.ENABLED", False), "attention", "MODEL.ESCF.ENABLED"),
        (("MODEL.ESCF.ENABLED", False, "MODEL.GUD.ENABLED", False), "guidance", "MODEL.GUD.ENABLED"),
    ],
)
def test_what_is_not_there_cannot_be_shown(changes, what, key, segmenter, picture):
    made = segmenter(*changes)
    with pytest.raises(UsageError, match=f"'{what}'.*{key}"):
        inspect(made, picture, ["cost", what])
    assert getattr(inspect(made, picture), what) is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"what": ["heat"]}, "'heat'.*cost, crm, attention, guidance"),
        ({"show": ["gras"]}, "'gras'; did you mean 'grass'"),
        ({"show": ["zzz"]}, "'zzz'"),
        ({"point": (70, 0)}, "70,0 is outside the picture of 70 x 50 pixels.*69,49"),
        ({"point": (0, -1)}, "outside"),
        ({"layer": 3}, "layer 3.*1 to 2"),
        ({"layer": 0}, "layer 0"),
    ],
)
def test_bad_requests(arguments, sentence, segmenter, picture):
    with pytest.raises(UsageError, match=sentence):
        inspect(segmenter(), picture, **arguments)


@pytest.mark.parametrize("cannot", [{}, {"inspect": "it has no cost maps"}])
def test_a_system_without_panels_is_refused(cannot, segmenter, picture, tiny_cfg):
    made, system = segmenter(), system_of(tiny_cfg)
    try:
        register(replace(system, panels={}, cannot=cannot))
        with pytest.raises(UsageError, match=f"ERR-Seg cannot inspect: {cannot.get('inspect', 'its record')}"):
            inspect(made, picture)
    finally:
        register(system)


def test_views_of_a_test_time_protocol_do_not_matter(segmenter, picture):
    plain = inspect(segmenter(), picture, ["cost"])
    many = inspect(segmenter("TEST.SLIDING_WINDOW", True, "TEST.FLIP", True), picture, ["cost"])
    np.testing.assert_array_equal(plain.cost["E16"], many.cost["E16"])
