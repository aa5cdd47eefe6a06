"""Annotations for other tools, read back by pycocotools, by COCO's panoptic layout and by our importer."""

import json
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from errseg.api import Result
from errseg.batch import Source
from errseg.batch.annotations import FORMATS, picture_formats, write_annotations
from errseg.batch.annotations.polygons import polygons_of
from errseg.colors import colors_of
from errseg.data.importing import Options, import_data
from errseg.data.importing.shapes import Polygons
from errseg.errors import UsageError
from tests.tiny import blobs

NAMES = ("cat", "grass & <hay>", "sky, heaven", "red car")
SIZES = {"a": (50, 70), "deep/b": (61, 40)}


def labels_of(size, seed):
    """Blobs of the first three names with small parts, and a ring: a hole with an island."""
    values = blobs(*size, seed=seed)[..., 0].astype(int)
    labels = np.digitize(values, [90, 160]).astype(np.int32)
    rows, columns = np.mgrid[: size[0], : size[1]]
    distance = np.hypot(rows - 20, columns - 20)
    labels[distance < 16], labels[distance < 10], labels[distance < 4] = 1, 2, 1
    labels[3, 5], labels[-1, -7:] = 0, 0
    return labels


@pytest.fixture
def job(tmp_path):
    """A finished job of two pictures: its folder, the places, and the label maps."""
    out, places, maps = tmp_path / "out", {}, {}
    for seed, (place, size) in enumerate(SIZES.items()):
        path = tmp_path / f"photos/{place}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = blobs(*size, seed=seed)
        Image.fromarray(image).save(path)
        maps[place] = labels_of(size, seed)
        scores = np.full(size, 0.25 + seed / 4, np.float32)
        Result(image, maps[place], scores, NAMES, source=str(path)).save(
            out / place.rpartition("/")[0], ("labels", "json"), path.stem
        )
        places[Source(str(path), str(tmp_path / "photos"))] = place
    return out, places, maps


def imported(path, tmp_path, **options):
    """A function from the place of a picture to what our importer reads, with NAMES as ids."""
    names = tmp_path / "names.json"
    names.write_text(json.dumps(NAMES))
    into = tmp_path / "imported"
    options = Options(**{"images": tmp_path / "photos", **options}, names=names)
    assert import_data(path, into, options, workers=1, samples=0).report["left_out"] == []
    return lambda place: np.asarray(Image.open(into / f"labels/{place}.png"))


def assert_within_a_pixel(found, labels):
    """Where two label maps differ, the found name is one of the 3 × 3 pixels around."""
    assert found.shape == labels.shape and (found != 255).mean() > 0.98
    for index in range(len(NAMES)):
        near = cv2.dilate((labels == index).astype(np.uint8), np.ones((3, 3), np.uint8))
        assert not ((found == index) & (near == 0)).any()
        core = cv2.erode((labels == index).astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1)
        assert ((found == index) | (core == 0)).all()


def test_coco_stuff(job, tmp_path):
    out, places, maps = job
    assert write_annotations(out, ["coco-stuff"], places) == [out / "coco_stuff.json"]
    coco = COCO(str(out / "coco_stuff.json"))
    assert [each["name"] for each in coco.loadCats(coco.getCatIds())] == list(NAMES)
    for image in coco.loadImgs(coco.getImgIds()):
        labels, found = maps[image["file_name"].removesuffix(".jpg")], 0
        for each in coco.loadAnns(coco.getAnnIds(image["id"])):
            mask = coco.annToMask(each)
            assert np.array_equal(mask == 1, labels == each["category_id"] - 1) and each["area"] == mask.sum()
            assert each["score"] == pytest.approx({"a.jpg": 0.25, "deep/b.jpg": 0.5}[image["file_name"]])
            found += mask.sum()
        assert found == labels.size == image["height"] * image["width"]
    ours = imported(out / "coco_stuff.json", tmp_path)
    assert all(np.array_equal(ours(place), labels) for place, labels in maps.items())


def test_coco_panoptic(job, tmp_path):
    out, places, maps = job
    write_annotations(out, ["coco-panoptic"], places)
    content = json.loads((out / "coco_panoptic.json").read_text())
    assert {each["isthing"] for each in content["categories"]} == {0}
    assert [each["color"] for each in content["categories"]] == [list(each) for each in colors_of(NAMES)]
    for entry in content["annotations"]:  # as the panoptic API reads them
        png = np.asarray(Image.open(out / "coco_panoptic" / entry["file_name"])).astype(int)
        ids = png[..., 0] + 256 * png[..., 1] + 256**2 * png[..., 2]
        labels = maps[content["images"][entry["image_id"] - 1]["file_name"].removesuffix(".jpg")]
        assert sorted(each["id"] for each in entry["segments_info"]) == np.unique(ids).tolist()
        for each in entry["segments_info"]:
            assert np.array_equal(ids == each["id"], labels == each["category_id"] - 1)
            assert each["area"] == (ids == each["id"]).sum() and each["iscrowd"] == 0
    ours = imported(out / "coco_panoptic.json", tmp_path)
    assert all(np.array_equal(ours(place), labels) for place, labels in maps.items())


def test_labelme(job, tmp_path):
    out, places, maps = job
    assert write_annotations(out, ["labelme"], places) == [out / "labelme"]
    content = json.loads((out / "labelme/deep/b.json").read_text())
    assert (out / "labelme/deep" / content["imagePath"]).resolve() == (tmp_path / "photos/deep/b.jpg").resolve()
    ours = imported(out / "labelme", tmp_path, images=None)
    for place, labels in maps.items():
        assert_within_a_pixel(ours(place), labels)


def test_cvat(job, tmp_path):
    out, places, maps = job
    write_annotations(out, ["cvat"], places)
    root = ElementTree.parse(out / "cvat.xml").getroot()
    assert [each.text for each in root.iter("name")] == list(NAMES)
    assert [each.attrib["name"] for each in root.iter("image")] == ["a.jpg", "deep/b.jpg"]
    ours = imported(out / "cvat.xml", tmp_path)
    for place, labels in maps.items():
        assert_within_a_pixel(ours(place), labels)


def test_label_studio(job, tmp_path):
    out, places, maps = job
    assert len(write_annotations(out, ["label-studio", "label-studio-polygons"], places, "https://host/x/")) == 2
    tasks = json.loads((out / "label_studio.json").read_text())
    assert [task["data"]["image"] for task in tasks] == ["https://host/x/a.jpg", "https://host/x/deep/b.jpg"]
    assert tasks[0]["predictions"][0]["score"] == pytest.approx(0.25)
    result = tasks[0]["predictions"][0]["result"][0]
    assert (result["original_width"], result["original_height"]) == (70, 50)
    config = ElementTree.parse(out / "label_studio_config.xml").getroot()
    control = config.find("BrushLabels")
    assert (control.get("name"), control.get("toName")) == (result["from_name"], result["to_name"])
    assert [label.get("value") for label in control] == list(NAMES) and config.find("Image").get("value") == "$image"
    ours = imported(out / "label_studio.json", tmp_path)
    assert all(np.array_equal(ours(place), labels) for place, labels in maps.items())
    ours = imported(out / "label_studio_polygons.json", tmp_path)
    for place, labels in maps.items():
        assert_within_a_pixel(ours(place), labels)


def test_what_is_damaged_is_named(job):
    out, places, _ = job
    assert write_annotations(out, ["overlay"], places) == [] and write_annotations(out, ["cvat"], {}) == []
    content = json.loads((out / "a.json").read_text())
    for change, reason in (
        ({"height": 9}, "is not of its JSON file; give --overwrite"),
        ({"names": ["x"]}, "segmented with other names; give --overwrite"),
        ({"names": 3}, "is no result of errseg predict"),
    ):
        (out / "a.json").write_text(json.dumps({**content, **change}))
        with pytest.raises(UsageError, match=reason):
            write_annotations(out, ["cvat"], places)
        assert not (out / "cvat.xml").exists()


def test_formats_of_a_picture():
    assert picture_formats(("overlay", "json")) == ("overlay", "json")
    assert picture_formats(("cvat", "json")) == ("json", "labels")
    assert picture_formats(tuple(FORMATS)) == ("labels", "json")


def drawn(polygons, size):
    return Polygons(tuple(tuple(polygon.ravel().tolist()) for polygon in polygons)).draw(size)


def test_polygons_that_are_not_simplified_are_the_mask():
    for seed in range(3):
        labels = labels_of((50, 70), seed)
        for index in range(3):
            polygons = polygons_of(labels == index, tolerance=0)
            assert np.array_equal(drawn(polygons, labels.shape), labels == index)


def test_a_polygon_keeps_its_holes_and_few_points():
    mask = np.ones((200, 300), bool)
    mask[50:100, 40:90] = mask[50:100, 200:250] = mask[120:180, 100:200] = False
    (polygon,) = polygons_of(mask)
    assert len(polygon) < 50 and (drawn([polygon], mask.shape) != mask).sum() == 0
    filled = cv2.fillPoly(np.zeros(mask.shape, np.uint8), [np.rint(4 * polygon - 2).astype(np.int32)], 1, shift=2)
    assert (filled != mask).sum() < 4 * 700 and not filled[60:90, 50:80].any()  # another tool, which draws the line too
    assert len(polygons_of(np.eye(3) > 0)) == 3 or len(polygons_of(np.eye(3) > 0)) == 1
    assert polygons_of(np.zeros((4, 4), bool)) == []
