"""What a result holds, and what it writes."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from errseg.api import KeptName, Result
from errseg.errors import UsageError

NAMES = ("sky, heaven", "grass", "red car", "猫")


@pytest.fixture
def result():
    labels = np.zeros((40, 60), np.int32)
    labels[20:], labels[5:15, 10:40] = 1, 3
    scores = np.linspace(0, 1, labels.size, dtype=np.float32).reshape(labels.shape)
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    return Result(image, labels, scores, NAMES, [KeptName("grass", 0.7), KeptName("猫", 0.2)], "folder/photo.v2.jpg")


def test_classes_and_masks(result):
    assert [(each.name, each.id, each.area) for each in result.classes] == [
        ("grass", 1, 1200),
        ("sky, heaven", 0, 900),
        ("猫", 3, 300),
    ]
    assert sum(each.share for each in result.classes) == pytest.approx(1)
    for each in result.classes:
        mask = result.mask(each.name)
        assert mask.dtype == bool and mask.sum() == each.area
        assert each.score == pytest.approx(result.scores[mask].mean(), rel=1e-5)
    assert np.array_equal(result.mask("sky"), result.mask("sky, heaven"))
    assert not result.mask("red car").any()
    with pytest.raises(UsageError, match="no name 'gras'; did you mean 'grass'"):
        result.mask("gras")
    assert "grass 50.0 %" in str(result) and "(60 x 40)" in str(result)


def test_coco(result):
    annotations = json.loads(json.dumps(result.to_coco()))
    assert [each["category_name"] for each in annotations] == ["grass", "sky, heaven", "猫"]
    for each in annotations:
        mask = coco_mask.decode(each["segmentation"])
        assert np.array_equal(mask.astype(bool), result.mask(each["category_name"]))
        assert each["area"] == mask.sum() and each["segmentation"]["size"] == [40, 60]
    assert annotations[2]["bbox"] == [10, 5, 30, 10]


def test_detections(result):
    detections = result.to_detections()
    assert len(detections) == 3 and detections.mask.shape == (3, 40, 60) and detections.mask.dtype == bool
    assert detections.xyxy[2].tolist() == [10, 5, 40, 15]
    assert detections.class_id.tolist() == [1, 0, 3] and list(detections.data["class_name"])[2] == "猫"
    assert detections.confidence == pytest.approx([each.score for each in result.classes])


def test_detections_are_what_supervision_takes(result):
    supervision = pytest.importorskip("supervision")
    detections = supervision.Detections(**vars(result.to_detections()))
    assert len(detections) == 3 and detections[detections.class_id == 3].area[0] == 300


def test_files(result, tmp_path):
    paths = result.save(tmp_path / "out", ("overlay", "labels", "json", "rle"))
    assert [path.name for path in paths] == [
        "photo.v2_overlay.png",
        "photo.v2_labels.png",
        "photo.v2.json",
        "photo.v2_rle.json",
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in paths)
    with Image.open(paths[1]) as labels:
        assert labels.mode == "L" and np.array_equal(np.asarray(labels), result.labels)
    content = json.loads(paths[2].read_text(encoding="utf-8"))
    assert content == result.to_dict() and content["names"][3] == "猫" and content["kept"][0]["name"] == "grass"
    assert json.loads(paths[3].read_text(encoding="utf-8"))["annotations"] == result.to_coco()
    assert result.save(tmp_path, ["json"], stem="other") == [tmp_path / "other.json"]
    assert result.save(tmp_path, "rle", "one") == [tmp_path / "one_rle.json"]
    assert len(result.save(tmp_path, (each for each in ("json", "rle")))) == 2
    with pytest.raises(UsageError, match="'gif' is none of overlay, labels"):
        result.save(tmp_path, ["gif"])


def test_many_names_take_16_bits(result, tmp_path):
    names = tuple(f"name {i}" for i in range(300))
    many = Result(result.image, result.labels * 100 - (result.labels > 2), result.scores, names)
    (path,) = many.save(tmp_path, ["labels"])
    assert path.name == "image_labels.png"
    with Image.open(path) as labels:
        assert np.array_equal(np.asarray(labels), many.labels) and many.labels.max() == 299
    with pytest.raises(UsageError, match="too few for 65700 names"):
        replace(many, names=names * 219).save(tmp_path, ["labels"])


@pytest.mark.parametrize(("size", "drawn"), [((40, 60), (320, 480)), ((3000, 1500), (1280, 640)), ((1, 1), (480, 480))])
def test_plots_of_all_sizes(size, drawn):
    labels = np.zeros(size, np.int32)
    plot = Result(np.zeros((*size, 3), np.uint8), labels, np.ones(size, np.float32), ("sky",)).plot()
    assert plot.height == drawn[0] and plot.width > drawn[1]
    flat = Result(np.zeros((*size, 3), np.uint8), labels, np.ones(size, np.float32), ("sky",)).plot(alpha=0.0)
    with pytest.raises(UsageError, match="alpha = 2"):
        Result(np.zeros((*size, 3), np.uint8), labels, np.ones(size, np.float32), ("sky",)).plot(alpha=2)
    assert flat.getpixel((drawn[1] - 1, drawn[0] - 1)) == (0, 0, 0)


def test_a_file_name_that_is_no_utf8(result, tmp_path):
    odd = replace(result, source=os.fsdecode(b"caf\xe9.jpg"))
    for path in odd.save(tmp_path, ["json", "rle"], stem="photo"):
        assert os.fsencode(json.loads(path.read_text(encoding="utf-8"))["image"]) == b"caf\xe9.jpg"
