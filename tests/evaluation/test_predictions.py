"""Saved predictions: what is in the files, and how an interrupted evaluation goes on from them."""

import importlib
import json
import shutil

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from errseg.data import register_dataset_files, register_sem_seg
from errseg.errors import UsageError
from errseg.evaluation import evaluate
from errseg.evaluation.predictions import MANIFEST, PredictionStore, folder_of, label_ids
from errseg.evaluation.render import render_predictions

from .oracle import LabelOracle, Oracle, random_set, write_set


def read(path):
    with Image.open(path) as image:
        return image.format, np.asarray(image)


def test_files_hold_the_ids_of_the_data_sets_own_labels(cfg, tmp_path):
    prediction, label = np.array([[0, 1, 1, 0]]), np.uint8([[1, 2, 0, 1]])
    settings = {"classes": ["a", "b"], "label_map": {0: 255, 1: 0, 2: 1, 7: 1, 255: 255}}
    write_set(tmp_path, "offset", [prediction], [label], **settings)
    evaluate(cfg, Oracle(), ["offset"], save_predictions=tmp_path / "saved")
    path = tmp_path / "saved/offset/0.png"
    form, ids = read(path)
    assert (form, ids.dtype, ids.tolist()) == ("PNG", np.uint8, [[1, 2, 2, 1]])  # 2, not 7
    store, (record,) = PredictionStore(tmp_path / "saved", "offset"), DatasetCatalog.get("offset")
    assert store.load(record).tolist() == [[0, 1, 1, 0]]


@pytest.mark.parametrize(("classes", "form", "dtype"), [(255, "PNG", np.uint8), (256, "TIFF", np.uint16)])
def test_more_than_255_classes_take_16_bits(cfg, tmp_path, classes, form, dtype):
    last = classes - 1
    prediction, name = np.array([[last, 0]] * 3), f"wide_{classes}"
    settings = {"sem_seg_ext": "tif", "ignore_label": 65535, "classes": [str(i) for i in range(classes)]}
    write_set(tmp_path, name, [prediction], [prediction.astype(np.uint16)], **settings)
    assert evaluate(cfg, LabelOracle(), [name], save_predictions=tmp_path / "saved")[name]["mIoU"] == 100
    files = [path for path in (tmp_path / "saved" / name).iterdir()]
    found = read(files[0])
    assert len(files) == 1 and found[0] == form and found[1].dtype == dtype and np.array_equal(found[1], prediction)


def test_a_class_without_an_id_cannot_be_saved(tmp_path):
    register_sem_seg("holes", tmp_path, tmp_path, ["a", "b"], label_map={3: 0, 255: 255})
    with pytest.raises(UsageError, match=r"Class 1 of holes \(b\) has no id"):
        label_ids("holes")


class Interrupted(Oracle):
    """Is stopped at its fourth image."""

    def forward(self, batch):
        if len(self.predicted) == 3:
            raise KeyboardInterrupt
        return super().forward(batch)


def test_an_interrupted_evaluation_goes_on_and_gives_the_same_numbers(cfg, tmp_path):
    random_set(tmp_path, "long", images=7, classes=5)
    whole = evaluate(cfg, Oracle(), ["long"])
    saved = tmp_path / "saved"
    with pytest.raises(KeyboardInterrupt):
        evaluate(cfg, Interrupted(), ["long"], save_predictions=saved)
    assert len(list((saved / "long").iterdir())) == 3
    second = Oracle()
    assert evaluate(cfg, second, ["long"], save_predictions=saved) == whole
    assert len(second.predicted) == 4
    third = Oracle()
    assert evaluate(cfg, third, ["long"], save_predictions=saved) == whole and not third.predicted


def test_pictures_that_are_not_whole_are_made_again(cfg, tmp_path):
    random_set(tmp_path, "spoilt", images=5, classes=5)
    saved = tmp_path / "saved"
    whole = evaluate(cfg, Oracle(), ["spoilt"], save_predictions=saved)
    folder = saved / "spoilt"
    (folder / "0.png").write_bytes((folder / "0.png").read_bytes()[:40])
    Image.new("L", (1, 1)).save(folder / "1.png")
    Image.fromarray(np.full_like(read(folder / "2.png")[1], 77)).save(folder / "2.png")
    (folder / "3.png").unlink()
    (folder / "3.png.tmp").write_bytes(b"of a killed process")
    model = Oracle()
    assert evaluate(cfg, model, ["spoilt"], save_predictions=saved) == whole
    assert [path.rpartition("/")[2] for path in model.predicted] == ["0.png", "1.png", "2.png", "3.png"]
    assert sorted(path.name for path in folder.iterdir()) == [f"{i}.png" for i in range(5)]


def test_a_folder_is_that_of_one_model(cfg, tmp_path):
    random_set(tmp_path, "one", images=2, classes=5)
    random_set(tmp_path, "other", images=2, classes=5)
    saved = tmp_path / "saved"
    evaluate(cfg, Oracle(), ["one"], save_predictions=saved)
    evaluate(cfg, Oracle(), ["other"], save_predictions=saved)  # another data set may join
    assert sorted(json.loads((saved / "manifest.json").read_text())["entries"]) == ["one", "other"]

    trained = Oracle()
    trained.register_buffer("weight", torch.ones(1))
    with pytest.raises(UsageError, match="another model or data set .weights [0-9a-f]{12}, now"):
        evaluate(cfg, trained, ["one"], save_predictions=saved)
    cfg.TEST.FLIP = True
    with pytest.raises(UsageError, match=r"\(TEST.FLIP False, now True\); name another folder"):
        evaluate(cfg, Oracle(), ["one"], save_predictions=saved)
    cfg.TEST.FLIP = False
    random_set(tmp_path / "again", "one", images=2, classes=4)
    with pytest.raises(UsageError, match="another vocabulary, K or label map of one"):
        evaluate(cfg, Oracle(), ["one"], save_predictions=saved)


def test_a_folder_of_an_earlier_version_goes_on_or_is_refused(cfg, tmp_path):
    random_set(tmp_path, "earlier", images=2, classes=5)
    saved = tmp_path / "saved"
    whole = evaluate(cfg, Oracle(), ["earlier"], save_predictions=saved)
    content = json.loads((saved / MANIFEST).read_text())
    ((key, request),), entry = content["requests"].items(), content["entries"]["earlier"]
    del entry["request"], request["settings"]["MODEL.RPN.CONV_DIMS"]
    first = {**request, "sets": {"earlier": entry}}
    (saved / MANIFEST).write_text(json.dumps(first))
    model = Oracle()
    assert evaluate(cfg, model, ["earlier"], save_predictions=saved) == whole and not model.predicted
    assert list(json.loads((saved / MANIFEST).read_text())["requests"]) == [key]
    for setting, words in (("TEST.FLIP", "TEST.FLIP True, now False"), ("MODEL.META_ARCHITECTURE", "a part of the")):
        old = {**first, "settings": {**first["settings"], setting: True}}
        (saved / MANIFEST).write_text(json.dumps(old))
        with pytest.raises(UsageError, match=words):
            evaluate(cfg, Oracle(), ["earlier"], save_predictions=saved)
        assert json.loads((saved / MANIFEST).read_text()) == old


def test_two_commands_that_start_at_once_do_not_share_a_folder(cfg, tmp_path, monkeypatch):
    """The other one comes between the check of the folder and its lock, and ends before this one has the lock."""
    random_set(tmp_path, "raced", images=2, classes=5)
    evaluation = importlib.import_module("errseg.evaluation.evaluate")  # the function has the same name
    trained, lock = Oracle(), evaluation.locked_outputs
    trained.register_buffer("weight", torch.ones(1))

    def late(job, folder):
        monkeypatch.setattr(evaluation, "locked_outputs", lock)
        evaluate(cfg, trained, ["raced"], save_predictions=folder)
        return lock(job, folder)

    monkeypatch.setattr(evaluation, "locked_outputs", late)
    with pytest.raises(UsageError, match="another model or data set .weights [0-9a-f]{12}, now"):
        evaluate(cfg, Oracle(), ["raced"], save_predictions=tmp_path / "saved")


@pytest.mark.parametrize(
    ("key", "value", "reused"),
    [("MODEL.TOY.WIDTH", 9, False), ("MODEL.RPN.NMS_THRESH", 0.5, False), ("MODEL.SEM_SEG_HEAD.IGNORE_VALUE", 9, True)]
    + [
        ("TEST.MEAN_OVER", "ground_truth_or_prediction", True),
        ("TEST.EVAL_PERIOD", 7, True),
        ("MODEL.DEVICE", "cuda", True),
        ("SOLVER.MAX_ITER", 1, True),
    ],
)
def test_every_key_decides_but_trainings_own(cfg, tmp_path, key, value, reused):
    """MODEL.TOY.WIDTH is a key of a system that nobody has heard of."""
    name = f"decided_{key}"
    random_set(tmp_path, name, images=2, classes=5)
    cfg.MODEL.TOY = CfgNode({"WIDTH": 8})
    evaluate(cfg, Oracle(), [name], save_predictions=tmp_path / "saved")
    cfg.merge_from_list([key, value])
    model = Oracle()
    if reused:
        evaluate(cfg, model, [name], save_predictions=tmp_path / "saved")
    else:
        with pytest.raises(UsageError, match=f"{key} [^ ]*, now {value}"):
            evaluate(cfg, model, [name], save_predictions=tmp_path / "saved")
    assert not model.predicted


@pytest.mark.parametrize("content", ["{", "[]", '{"weights": 1, "settings": {}, "sets": {}}', '{"weights": "a"}'])
def test_a_damaged_ledger_is_named(cfg, tmp_path, content):
    random_set(tmp_path, "damaged", images=2, classes=5)
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved/manifest.json").write_text(content)
    with pytest.raises(
        UsageError, match="manifest.json is no ledger of this version .*; remove it, or give another --save-predictions"
    ):
        evaluate(cfg, Oracle(), ["damaged"], save_predictions=tmp_path / "saved")


def test_a_folder_of_something_else_is_left_alone(cfg, tmp_path):
    random_set(tmp_path, "alone", images=2, classes=5)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/0.png").write_text("mine")
    with pytest.raises(UsageError, match="photos holds files but no manifest.json"):
        evaluate(cfg, Oracle(), ["alone"], save_predictions=tmp_path / "photos")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["0.png"]


def test_files_lie_as_the_images_do_and_never_two_on_one(tmp_path):
    images = tmp_path / "images"
    records = [{"file_name": str(images / name)} for name in ("a/1.jpg", "b/1.jpg", "c.d.png")]
    register_sem_seg("tree", images, tmp_path / "labels", ["x", "y"])
    store = PredictionStore(tmp_path / "saved", "tree")
    store.check(records)
    found = [str(store.path(record).relative_to(tmp_path / "saved/tree")) for record in records]
    assert found == ["a/1.png", "b/1.png", "c.d.png"]
    with pytest.raises(UsageError, match="c.d.png and .*c.d.jpg of tree"):
        store.check([*records, {"file_name": str(images / "c.d.jpg")}])


def test_a_file_of_the_same_stem_with_other_images_is_refused(cfg, tmp_path):
    files = []
    for folder, pixels in (("one", 3), ("other", 200)):
        label = np.uint8(np.arange(pixels)[None] % 3)
        write_set(tmp_path / folder, f"{folder}_images", [label] * 2, [label] * 2, classes=["a", "b", "c"])
        metadata = MetadataCatalog.get(f"{folder}_images")
        file = tmp_path / folder / "val.yaml"
        file.write_text(f"images: {metadata.image_root}\nlabels: {metadata.sem_seg_root}\nnames: [a, b, c]\n")
        files.append(str(file))
    register_dataset_files(files)
    with pytest.raises(UsageError, match="save them into two folders"):
        evaluate(cfg, LabelOracle(), files, save_predictions=tmp_path / "saved")
    evaluate(cfg, LabelOracle(), files[:1], save_predictions=tmp_path / "saved")
    with pytest.raises(UsageError, match="another model or data set .other images of val"):
        evaluate(cfg, LabelOracle(), files[1:], save_predictions=tmp_path / "saved")
    with pytest.raises(UsageError, match="made for other images than .*other/val.yaml .* \\(.*one/val.yaml\\)"):
        render_predictions(tmp_path / "saved", files[1], workers=1)
    moved = tmp_path / "moved"  # the same images elsewhere are the same
    (tmp_path / "one").rename(moved)
    file = moved / "val.yaml"
    file.write_text(file.read_text().replace(f"{tmp_path}/one", str(moved)))
    register_dataset_files([str(file)])
    evaluate(cfg, LabelOracle(), [str(file)], save_predictions=tmp_path / "saved")


def test_a_folder_that_cannot_be_written_is_named(cfg, tmp_path):
    random_set(tmp_path, "unwritten", images=2, classes=5)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="--save-predictions .*file is a file; name a folder"):
        evaluate(cfg, Oracle(), ["unwritten"], save_predictions=tmp_path / "file")
    with pytest.raises(UsageError, match="--save-predictions .*file/inside cannot be written"):
        evaluate(cfg, Oracle(), ["unwritten"], save_predictions=tmp_path / "file/inside")
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / MANIFEST).write_text("{}")
    (saved / "unwritten").write_text("a file in the place of the folder")
    store, record = PredictionStore(saved, "unwritten"), DatasetCatalog.get("unwritten")[0]
    with pytest.raises(UsageError, match="The prediction .*0.png cannot be written .*make room"):
        store.write(record, np.zeros((2, 2), int))


class Removing(Oracle):
    """Its folder of predictions is emptied, or moved away, at its third image."""

    def __init__(self, remove):
        super().__init__()
        self.remove = remove

    def forward(self, batch):
        if len(self.predicted) == 2:
            self.remove()
        return super().forward(batch)


@pytest.mark.parametrize("way", ["removed", "moved", "emptied"])
def test_a_folder_that_vanishes_ends_the_evaluation_and_is_not_made_anew(cfg, tmp_path, way):
    name, saved = f"vanishing_{way}", tmp_path / "saved"
    random_set(tmp_path, name, images=4, classes=5)

    def remove():
        if way == "moved":
            saved.rename(tmp_path / "elsewhere")
        else:
            shutil.rmtree(saved)
        if way == "emptied":
            saved.mkdir()

    with pytest.raises(UsageError, match="--save-predictions .*saved has lost its manifest.json .*find out which"):
        evaluate(cfg, Removing(remove), [name], save_predictions=saved)
    assert not list(saved.rglob("*.png"))
    model = Oracle()  # the folder that is left is taken again
    evaluate(cfg, model, [name], save_predictions=saved)
    assert len(model.predicted) == len(list(saved.rglob("*.png"))) == 4


def test_a_data_set_file_gives_its_stem():
    assert folder_of("some/where/my.yaml") == "my" and folder_of("ade20k_150_test_sem_seg") == "ade20k_150_test_sem_seg"
