"""Names in, pictures in, results out."""

import gc
import io
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

import errseg
from errseg.config import config_path, load_config
from errseg.errors import UsageError
from errseg.modeling import ERRSeg
from tests.tiny import SYSTEMS, blobs, tiny_segmenter

NAMES = ["cat", "grass", "sky, heaven", "red car"]


@pytest.fixture
def segmenter(build, tiny_cfg):
    """``segmenter(KEY, value, ...)``: a tiny random model with NAMES."""

    def make(*changes):
        tiny_cfg.INPUT.MIN_SIZE_TEST = 80
        made = errseg.Segmenter(build(*changes), tiny_cfg)
        made.set_vocabulary(NAMES)
        return made

    return make


def picture(height=50, width=70, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_a_result_is_the_models_prediction(segmenter):
    model, image = segmenter(), picture()
    model.set_vocabulary(["cat", "grass", "red car"])
    result = model(image)
    inputs = model.inputs(image)
    assert inputs["image"].shape == (3, 80, 112) and (inputs["height"], inputs["width"]) == (50, 70)
    with torch.no_grad():
        dense = model.model([inputs])[0]["sem_seg"]
    assert result.labels.dtype == np.int32 and np.array_equal(result.labels, dense.argmax(0).numpy())
    assert result.scores.dtype == np.float32 and np.allclose(result.scores, dense.amax(0).numpy(), atol=1e-6)
    assert np.array_equal(result.image, image) and result.source is None
    assert result.names == model.names == ("cat", "grass", "red car")


def test_synonyms_are_asked_for_and_belong_to_their_name(segmenter):
    model, image = segmenter(), picture()
    model.set_vocabulary({"plant": ["grass", "tree"], "sky, heaven": [], "sea": []})
    result = model(image)
    model.set_vocabulary(["plant", "grass", "tree", "sky", "heaven", "sea"])
    single = model(image)
    assert result.names == ("plant", "sky, heaven", "sea")
    assert np.array_equal(result.labels, np.array([0, 0, 0, 1, 1, 2])[single.labels])
    assert np.array_equal(result.scores, single.scores)


def test_as_many_results_as_pictures_in_their_kind(segmenter, tmp_path):
    model = segmenter()
    Image.fromarray(picture()).save(tmp_path / "photo.png")
    sources = [tmp_path / "photo.png", str(tmp_path / "photo.png"), Image.fromarray(picture()), picture()]
    results = model(sources, batch_size=3)
    assert isinstance(results, list) and len(results) == 4
    assert all(np.array_equal(each.labels, results[0].labels) for each in results)
    assert [each.source for each in results] == [str(tmp_path / "photo.png")] * 2 + [None] * 2
    assert model([]) == []
    assert isinstance(model(tmp_path / "photo.png"), errseg.Result)


def test_a_batch_of_several_sizes_is_each_picture_alone(segmenter):
    model = segmenter("MODEL.CRM.NUM_CLASSES_TEST", 2)
    pictures = [picture(50, 70, 0), picture(90, 40, 1), picture(1, 1, 2)]
    for one, of_batch in zip(map(model, pictures), model(pictures, batch_size=3), strict=True):
        assert one.labels.shape == one.image.shape[:2]
        assert (one.labels == of_batch.labels).mean() > 0.999
        assert [each.name for each in one.kept] == [each.name for each in of_batch.kept] and len(one.kept) == 2


def test_a_generator_is_read_as_its_results_are_asked_for(segmenter):
    model, taken, alive = segmenter(), [], []

    def pictures():
        for i in range(6):
            image = picture(seed=i)
            alive.append(weakref.ref(image))
            taken.append(i)
            yield image

    results = model(pictures(), batch_size=2)
    assert taken == []
    for i, result in enumerate(results):
        assert len(taken) <= i // 2 * 2 + 2
        gc.collect()
        assert sum(ref() is not None for ref in alive) <= 3
        assert result.labels.shape == (50, 70)
    assert i == 5


def test_background(segmenter):
    model, image = segmenter(), picture()
    plain = model(image)
    threshold = float(np.median(plain.scores))
    new = model(image, background="nothing", min_confidence=threshold)
    assert new.names == (*NAMES, "nothing")
    low = plain.scores < threshold
    assert low.any() and np.array_equal(new.mask("nothing"), low)
    assert np.array_equal(new.labels[~low], plain.labels[~low]) and np.array_equal(new.scores, plain.scores)
    old = model(image, background="grass", min_confidence=1.0)
    assert old.names == tuple(NAMES) and old.mask("grass").all()


def test_what_crm_kept(segmenter):
    model, image = segmenter("MODEL.CRM.NUM_CLASSES_TEST", 2), picture()
    names = ["cat", "grass", "sky", "heaven", "red car"]
    model.set_vocabulary(names)
    result = model(image)
    with torch.no_grad():
        encoded = model.encoded
        pixels = model.model.preprocess(model.inputs(image)["image"], (64, 64))
        kept = model.model.segment(pixels, encoded.text, encoded.num_kept).kept
    assert {each.name for each in result.kept} == {names[i] for i in kept[0]} and len(result.kept) == 2
    assert 1.11 >= result.kept[0].score >= result.kept[1].score >= 0
    model.set_vocabulary(names, num_classes=0)
    everything = model(image)
    assert len(everything.kept) == 5 and everything.kept[:2] == result.kept
    assert sum(each.score for each in everything.kept) == pytest.approx(1.11, abs=1e-4)
    assert not model.model.sem_seg_head.crm._forward_pre_hooks


@pytest.mark.parametrize(
    "changes",
    [
        ("TEST.FLIP", True),
        ("TEST.SLIDING_WINDOW", True),
        ("TEST.KEEP_ASPECT", True),
        ("MODEL.CRM.ENABLED", False),
        ("MODEL.HSM.ENABLED", False),
    ],
    ids=lambda changes: "-".join(map(str, changes)),
)
def test_views_and_ablations(segmenter, changes):
    model = segmenter("MODEL.CRM.NUM_CLASSES_TEST", 2, *changes)
    pictures = [picture(50, 70, 0), picture(90, 40, 1)]
    for image, result in zip(pictures, model(pictures, batch_size=2), strict=True):
        with torch.no_grad():
            labels = model.model.label_maps([model.inputs(image)])[0]
        whole = np.array([0, 1, 2, 2, 3])[labels.numpy()]  # sky and heaven are one
        assert (result.labels == whole).mean() > 0.999 and result.kept


def test_how_many_names_stay(segmenter):
    model = segmenter()
    model.set_vocabulary("ade20k_150")
    assert len(model.names) == 150 and model.model.vocabulary.num_kept == 32  # the paper's
    model.set_vocabulary("ade20k_150", num_classes=7)
    assert model.model.vocabulary.num_kept == 7
    assert segmenter("MODEL.CRM.NUM_CLASSES_TEST", 3).model.vocabulary.num_kept == 3


@pytest.mark.parametrize("changes", [("DeOP",), ("ERRSeg", "MODEL.CRM.ENABLED", False)], ids=lambda changes: changes[0])
def test_k_of_a_model_that_drops_no_names(changes):
    """It has no effect, so it is refused; a K that keeps every name is none."""
    model = tiny_segmenter(*changes)
    with pytest.raises(UsageError, match=r"num_classes = 2, but this [\w-]+ keeps every name .*; leave it out"):
        model.set_vocabulary(NAMES, num_classes=2)
    with pytest.raises(RuntimeError, match="no vocabulary"):
        model(picture())
    with pytest.raises(UsageError, match="num_classes = -1 is negative"):
        model.set_vocabulary(NAMES, num_classes=-1)
    results = []
    for all_of_them in (None, 0, 5, 9):  # five prompts
        model.set_vocabulary(NAMES, num_classes=all_of_them)
        results.append(model(picture()))
        assert {each.name for each in results[-1].kept} == set(NAMES)
    assert all(np.array_equal(each.labels, results[0].labels) for each in results)


@pytest.mark.parametrize("system", SYSTEMS)
def test_confidence_and_background_of_every_system(system):
    model, image = tiny_segmenter(system), blobs()
    model.set_vocabulary(NAMES)
    plain = model(image)
    assert 0 < plain.scores.min() < plain.scores.max() <= 1
    threshold = float(np.median(plain.scores))
    new = model(image, background="nothing", min_confidence=threshold)
    assert np.array_equal(new.mask("nothing"), plain.scores < threshold) and new.mask("nothing").any()
    assert not model(image, background="nothing", min_confidence=0).mask("nothing").any()
    assert (model.embed(image).norm(dim=0) - 1).abs().max() < 1e-4
    assert model.similarity(image, NAMES).shape[0] == len(NAMES) and model.names == tuple(NAMES)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_takes_batches_and_any_shape(system):
    model = tiny_segmenter(system)
    model.set_vocabulary(NAMES)
    pictures = [blobs(50, 70), blobs(90, 40, 1), blobs(50, 70, 2), picture(1, 1), picture(3, 300), picture(300, 2)]
    for image, of_batch in zip(pictures, model(iter(pictures), batch_size=3), strict=True):
        alone = model(image)
        assert alone.labels.shape == image.shape[:2] and alone.names == of_batch.names == tuple(NAMES)
        assert (alone.labels == of_batch.labels).mean() > 0.99
        np.testing.assert_allclose(alone.scores, of_batch.scores, atol=1e-3)


def test_pictures_are_resized_by_the_loader_as_deop_asks():
    inputs = load_config(config_path("deop_vit_b16")).INPUT
    sides = ["INPUT.MIN_SIZE_TEST", inputs.MIN_SIZE_TEST, "INPUT.MAX_SIZE_TEST", inputs.MAX_SIZE_TEST]
    model = tiny_segmenter("DeOP", *sides)
    for size, seen in (((50, 70), (512, 717)), ((1000, 800), (640, 512)), ((100, 1000), (256, 2560))):
        assert model.inputs(picture(*size))["image"].shape == (3, *seen)


def test_features_and_similarities(segmenter):
    model, image = segmenter(), picture()
    dense, text = model.embed(image), model.embed_text(["cat", "sky, heaven"])
    assert dense.shape == (32, 4, 4) and text.shape == (2, 32)
    assert torch.allclose(dense.norm(dim=0), torch.ones(4, 4)) and torch.allclose(text.norm(dim=1), torch.ones(2))
    similarity = model.similarity(image, ["cat", "sky, heaven"])
    assert torch.allclose(similarity, torch.einsum("dhw,td->thw", dense, text), atol=1e-5)
    seen = []
    handle = model.model.sem_seg_head.crm.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    model.set_vocabulary(["cat", "dog"])
    model(image)
    handle.remove()
    assert torch.allclose(seen[0][0, 0], similarity[0], atol=1e-5)  # what CRM ranks
    (model.embed(image).requires_grad_() * dense).sum().backward()  # a target of distillation
    assert model.names == ("cat", "dog")  # untouched by the names of a similarity


def test_a_result_keeps_its_image(segmenter):
    """The caller may use his array again, as for the next frame of a video."""
    model, frame = segmenter(), picture()
    before = frame.copy()
    result, results = model(frame), model(iter([frame, frame[:, ::-1], frame[:, :, :1]]))
    first = next(results)
    frame[:] = 0
    assert np.array_equal(result.image, before) and np.array_equal(first.image, before)
    result.image[:] = 1
    assert not frame.any() and not next(results).image.any()


def test_long_thin_pictures(segmenter):
    model = segmenter()
    for size in ((1, 4000), (4000, 1), (3, 900)):
        assert model(picture(*size)).labels.shape == size
    assert model.cfg.INPUT.MAX_SIZE_TEST == 1333 and model.cfg.INPUT.MIN_SIZE_TEST > 0
    assert model.inputs(picture(1, 4000))["image"].shape == (3, 1, 1333)
    assert model.inputs(picture(4000, 1))["image"].shape == (3, 1333, 1)


def test_wrong_uses(segmenter, build, tiny_cfg):
    model = segmenter()
    for arguments, words in (
        ({"batch_size": 0}, "batch_size = 0"),
        ({"batch_size": "2"}, "batch_size = '2'"),
        ({"min_confidence": 2}, "min_confidence = 2"),
        ({"min_confidence": float("nan")}, "min_confidence = nan"),
        ({"min_confidence": "high"}, "min_confidence = 'high'"),
    ):
        with pytest.raises(UsageError, match=words):
            model(picture(), **arguments)
    for name, words in ((0, "0 is no text"), (" ", "blank")):
        with pytest.raises(UsageError, match=words):
            model(iter([]), background=name)  # at once, not when the results are asked for
    for source in (None, 3, b"photo.jpg", io.BytesIO(b"data"), torch.zeros(3, 8, 8, dtype=torch.uint8)):
        with pytest.raises(UsageError, match=f"An image is a {type(source).__name__}; give a path"):
            model(source)
    with pytest.raises(TypeError, match="float"):
        model.set_vocabulary(["cat", "dog"], num_classes=1.5)
    with pytest.raises(UsageError, match=r"missing\.png"):
        model("missing.png")
    with pytest.raises(UsageError, match=r"5\d\d tokens, and the text tower reads \d+; shorten it"):
        model.set_vocabulary(["cat", "word " * 500])
    assert model.names == tuple(NAMES) and model(picture()).names == model.names  # as before
    fresh = errseg.Segmenter(ERRSeg(tiny_cfg), tiny_cfg)
    with pytest.raises(RuntimeError, match="set_vocabulary"):
        fresh(picture())
    assert "no vocabulary" in repr(fresh) and fresh.names == ()
