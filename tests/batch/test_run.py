"""A batch job of every system: pictures and videos to files, what a second run keeps, and what it does again."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

import errseg
from errseg.batch import Settings, find_sources, predict
from errseg.batch.ledger import request_of
from errseg.config.settings import settings_of
from errseg.errors import UsageError
from tests.tiny import SYSTEMS, blobs, tiny_model, tiny_segmenter

NAMES = ["cat", "grass", "sky, heaven", "red car"]
CHANGES = {  # a key of each system that changes its predictions
    "ERRSeg": ("MODEL.CRM.SCORE_COEFFICIENT", 0.2),
    "DeOP": ("MODEL.PATCH_SEVERANCE.MODE", "plain"),
    "SED": ("MODEL.REJECTION.ENABLED", True),
    "CATSeg": ("MODEL.COST.MAX_CLASSES", 2),
}
TRAINING = {  # and one that does not
    "ERRSeg": ("MODEL.ESCF.DROP_PATH", 0.1),
    "DeOP": ("MODEL.LOSS.DICE", 0.5),
    "SED": ("MODEL.FUSION.DETACH", False),
    "CATSeg": ("MODEL.AGGREGATION.POOLING", [1, 1]),
}


@pytest.fixture(params=SYSTEMS)
def system(request):
    return request.param


@pytest.fixture
def inputs(tmp_path):
    """A folder with two pictures and a video of four frames."""
    folder = tmp_path / "inputs"
    (folder / "deep").mkdir(parents=True)
    Image.fromarray(blobs(40, 60)).save(folder / "a.png")
    Image.fromarray(blobs(50, 30, 1)).save(folder / "deep/b.png")
    writer = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 5, (64, 48))
    for seed in range(4):
        writer.write(np.ascontiguousarray(blobs(48, 64, seed)[:, :, ::-1]))
    writer.release()
    return folder


@pytest.fixture
def job(system, inputs, tmp_path):
    """``job(KEY, value, ..., names=NAMES, **settings)``: the segmenter and the outcome of a job."""

    def run(*changes, names=NAMES, **settings):
        model = tiny_segmenter(system, *changes)
        model.set_vocabulary(names)
        out = tmp_path / "out"
        return model, predict(model, find_sources([str(inputs)], out), Settings(out, **settings))

    return run


def test_files_say_what_the_model_says(job, inputs, tmp_path):
    out = tmp_path / "out"
    model, outcome = job(batch=2, formats=("overlay", "labels", "json", "rle"), every=2)
    assert (outcome.done, outcome.problems) == (3, [])
    for place, source in (("a", inputs / "a.png"), ("deep/b", inputs / "deep/b.png")):
        result = model(source)
        labels = np.asarray(Image.open(out / f"{place}_labels.png"))
        assert labels.shape == result.labels.shape and (labels == result.labels).mean() > 0.99
        content = json.loads((out / f"{place}.json").read_text())
        assert content["names"] == NAMES and content["image"] == str(source) and "proposals" not in content
        assert {each["name"] for each in content["kept"]} == {each.name for each in result.kept}
        for each in content["classes"]:
            assert 0 < each["score"] <= 1
            assert each["score"] == pytest.approx(result.scores[result.mask(each["name"])].mean(), abs=0.01)
        assert len(json.loads((out / f"{place}_rle.json").read_text())["annotations"]) == len(content["classes"])
        assert Image.open(out / f"{place}_overlay.png").width > 480
    frames = sorted(path.name for path in (out / "clip_frames").glob("*_labels.png"))
    assert frames == ["000000_labels.png", "000002_labels.png"]
    capture = cv2.VideoCapture(str(out / "clip_overlay.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 2


def test_pixels_below_a_confidence(job, tmp_path):
    model, _ = job(formats=("labels",))
    labels = np.asarray(Image.open(tmp_path / "out/a_labels.png"))
    scores = model(tmp_path / "inputs/a.png").scores
    middle = float(np.median(scores))
    _, outcome = job(formats=("labels",), background="other", min_confidence=middle)
    found = np.asarray(Image.open(tmp_path / "out/a_labels.png"))
    assert outcome.done == 3 and labels.max() < 4
    assert ((found == 4) == (scores < middle)).mean() > 0.99 and (found == 4).any() and (found != 4).any()


def test_a_second_run_does_what_has_changed(job, system, capsys):
    def again(*changes, **settings):
        capsys.readouterr()
        _, outcome = job(*changes, formats=("labels",), **settings)
        return outcome.kept, outcome.done, capsys.readouterr().out

    assert again()[:2] == (0, 3)
    assert again()[:2] == (3, 0)
    assert again(*TRAINING[system])[:2] == (3, 0)
    key, value = CHANGES[system]
    kept, done, said = again(key, value)
    assert (kept, done) == (0, 3) and f"3 of 3 inputs were done before with other {key}: they are done again" in said
    kept, done, said = again(key, value, names=["dog", "tree"])
    assert (kept, done) == (0, 3) and "with other names: they are done again" in said


def test_the_request_holds_what_decides_predictions(system):
    model = tiny_segmenter(system)
    model.set_vocabulary(NAMES)
    request = request_of(model, None, 0.5)
    assert request["settings"] == settings_of(model.cfg) and CHANGES[system][0] in request["settings"]
    assert request["names"] == [NAMES, ["cat", "grass", "sky", "heaven", "red car"], [0, 1, 2, 2, 3]]
    assert request["K"] == {"ERRSeg": 3}.get(system, 5)  # others keep every prompt
    with_other_weights = errseg.Segmenter(tiny_model(model.cfg), model.cfg)
    next(with_other_weights.model.parameters()).data.add_(1)
    with_other_weights.set_vocabulary(NAMES)
    assert request_of(with_other_weights, None, 0.5)["weights"] != request["weights"]


def test_annotations_of_the_job(inputs, tmp_path):
    model = tiny_segmenter("ERRSeg")
    model.set_vocabulary(NAMES)
    (inputs / "clip.mp4").unlink()
    sources, out = find_sources([str(inputs)], tmp_path / "out"), tmp_path / "out"

    def run(*formats):
        return predict(model, sources, Settings(out, formats))

    outcome = run("labels", "labelme")
    assert outcome.annotations == [out / "labelme"] and (out / "labelme/deep/b.json").is_file()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*_labels.png")}
    outcome = run("coco-panoptic", "cvat")
    assert (outcome.kept, outcome.done) == (2, 0)
    assert outcome.annotations == [out / "coco_panoptic.json", out / "cvat.xml"]
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*_labels.png")}
    with pytest.raises(UsageError, match="holds no pictures"):  # no output is an input
        find_sources([str(out)], out)
    model.set_vocabulary(["dog", "tree"])
    assert run("cvat").done == 2 and "dog" in (out / "cvat.xml").read_text()
