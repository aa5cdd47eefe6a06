"""COCO's JSON and panoptic pictures become labels; pycocotools reads the same masks from the same files."""

import gc
from array import array

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from errseg.data.importing.coco import compact
from errseg.errors import UsageError
from errseg.safe_files import read_json
from tests.data.importing.conftest import HEIGHT, WIDTH

TRIANGLE = [2.5, 1.2, 25.0, 3.4, 10.1, 17.9]
TWO_PARTS = [[20.0, 2, 28, 2, 28, 8, 20, 8], [20.0, 12, 28, 12, 28, 18, 20, 18]]
CATEGORIES = [{"id": 7, "name": "sky"}, {"id": 3, "name": "red car"}, {"id": 90, "name": "tree"}]


def blob():
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[5:15, 3:9] = mask[8, 20:25] = 1
    return mask


def compressed():
    code = coco_mask.encode(blob())
    return {"size": code["size"], "counts": code["counts"].decode()}


def uncompressed():
    flat = blob().ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    return {"size": [HEIGHT, WIDTH], "counts": np.diff([0, *edges, flat.size]).tolist()}


def annotation(number, category, segmentation, image=1, **more):
    return {"id": number, "image_id": image, "category_id": category, "segmentation": segmentation, **more}


@pytest.fixture
def source(tmp_path, picture, write):
    """``source(annotation, …)``: an instances file, as COCO lays it out, of two images of which one is annotated."""

    def make(*annotations, **more):
        for name in ("a.jpg", "deep/b.jpg"):
            picture(tmp_path / "coco/val2017" / name)
        sizes = {"height": HEIGHT, "width": WIDTH}
        images = [{"id": 1, "file_name": "a.jpg", **sizes}, {"id": 2, "file_name": "deep/b.jpg", **sizes}]
        content = {"images": images, "annotations": list(annotations), "categories": CATEGORIES, **more}
        return write(tmp_path / "coco/annotations/instances_val2017.json", content)

    return make


@pytest.mark.parametrize("segmentation", [[TRIANGLE], TWO_PARTS, compressed(), uncompressed()])
def test_masks_are_those_of_pycocotools(source, imported, segmentation):
    path = source(annotation(1, 7, segmentation))
    report, label = imported(path)
    coco = COCO(str(path))
    expected = coco.annToMask(coco.loadAnns([1])[0])
    assert expected.any() and (np.where(expected, 1, 255) == label("a")).all() and (label("deep/b") == 255).all()
    assert [each["name"] for each in report["classes"]] == ["red car", "sky", "tree"]  # in the order of the ids
    assert report["classes"][1]["pixels"] == expected.sum() and report["empty_pictures"] == ["deep/b.jpg"]
    assert report["names_without_pixels"] == ["red car", "tree"]


def test_annotations_are_read_small(source):
    """A file of COCO has a million annotations: each keeps its mask, eight bytes a number, and nothing else."""
    path = source(annotation(1, 7, TWO_PARTS, bbox=[0.0] * 4, area=9.0, iscrowd=0), annotation(2, 3, uncompressed()))
    polygons, code = (each["segmentation"] for each in read_json(path, "file", made=compact)["annotations"])
    assert [type(ring) for ring in polygons.rings] == [array, array] and polygons.rings[0].itemsize == 8
    assert type(code.counts) is array and list(code.counts) == uncompressed()["counts"]
    assert compact({"id": 5, "category_id": 3, "iscrowd": 0, "bbox": [0, 0, 1, 1]}) == {"id": 5, "category_id": 3}
    odd = {"image_id": 1, "segmentation": [1, 2, 3]}
    assert compact(odd) == {"image_id": 1, "segmentation": "its polygon is damaged"}
    assert compact({"id": 1, "name": "sky"}) == {"id": 1, "name": "sky"}
    assert gc.isenabled()


def test_the_wanted_region_wins_and_overlaps_are_counted(source, imported):
    small, large = [[4.0, 4, 8, 4, 8, 8, 4, 8]], [[0.0, 0, 20, 0, 20, 10, 0, 10]]
    path = source(annotation(1, 3, small), annotation(2, 7, large), annotation(3, 90, large))
    report, label = imported(path)
    assert (label("a")[:10, :20] == 2).all()
    assert report["overlaps"] == [
        {"over": "tree", "under": "sky", "pixels": 200, "pictures": 1},
        {"over": "sky", "under": "red car", "pixels": 16, "pictures": 1},
    ]
    assert report["overlapped_pixels"] == 200
    assert [each["name"] for each in report["hidden_regions"]] == ["red car", "sky"]
    report, label = imported(path, overlap="smaller")
    assert (label("a")[4:8, 4:8] == 0).all() and (label("a") == 2).sum() == 200 - 16
    assert report["overlap"] == "smaller" and [each["name"] for each in report["hidden_regions"]] == ["sky"]


def test_what_has_no_mask_is_dropped_by_name(source, imported):
    far, thin = [[0.0, 0, 1e8, 0, 5, 9]], [[5.0, 5, 9, 9]]
    damaged, short = {"size": [HEIGHT, WIDTH], "counts": "~"}, {"size": [HEIGHT, WIDTH], "counts": [3]}
    bad = (
        [],
        far,
        thin,
        damaged,
        short,
        [[1.0, 2, "x", 4, 5, 6]],
        {"size": [2, 2], "counts": [4]},
        {"size": [], "counts": [4]},
    )
    annotations = [annotation(i, 3, each) for i, each in enumerate(bad)]
    report, _ = imported(
        source(*annotations, annotation(9, 5, [TRIANGLE]), annotation(9, [5], []), annotation(10, 7, [TRIANGLE]))
    )
    dropped = {each["reason"] for each in report["dropped_regions"]}
    assert dropped == {
        "it has a box alone, no segmentation",
        "it has points far outside the picture",
        "it has fewer than three points",
        "it has a string that is no run-length code",
        "it has runs that do not fill the mask",
        "its polygon is damaged",
        "it has a mask of 2 × 2 pixels",
        "its code is damaged",
        "there is no category 5",
        "there is no category [5]",
    }
    assert report["classes"][0]["regions"] == 0 and report["classes"][1]["regions"] == 1


def test_names_that_are_given(source, imported, tmp_path, write):
    path = source(annotation(1, 3, [TRIANGLE]), annotation(2, 7, TWO_PARTS), annotation(3, 90, compressed()))
    names = write(tmp_path / "names.txt", "sky\ntree\n")
    report, label = imported(path, names=names, background="other", ignore=("tree",))
    assert [each["name"] for each in report["classes"]] == ["other", "sky"]
    assert label("a")[0, 0] == 0 and (label("a")[blob() == 1] == 255).all() and (label("a") == 1).any()
    assert report["dropped_regions"] == [
        {"picture": "a.jpg", "name": "red car", "reason": "its name is not among the names"}
    ]


def test_a_panoptic_picture(source, imported, tmp_path, write):
    path = source()
    ids = np.zeros((HEIGHT, WIDTH), np.int64)
    ids[:, :10], ids[:, 10:20], ids[0, 20:] = 300, 70_000, 5
    png = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
    folder = tmp_path / "coco/annotations/panoptic_val2017"
    folder.mkdir()
    Image.fromarray(png).save(folder / "a.png")
    segments = [{"id": 300, "category_id": 90}, {"id": 70_000, "category_id": 3}, {"id": 9, "category_id": 7}]
    images = [{"id": 1, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH}]
    entry = {"image_id": 1, "file_name": "a.png", "segments_info": segments}
    panoptic = {"images": images, "annotations": [entry], "categories": CATEGORIES}
    path = write(folder.with_suffix(".json"), panoptic)
    report, label = imported(path)
    assert report["format"] == "coco-panoptic"
    assert (label("a")[1] == [2] * 10 + [0] * 10 + [255] * 10).all()
    reasons = {each["reason"] for each in report["dropped_regions"]}
    assert reasons == {"the segment 5 has no entry", "it covers no pixel"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"categories": []}, "has no categories; give"),
        ({"categories": CATEGORIES + [{"id": 3, "name": "x"}]}, "two categories of the id 3; keep one"),
        ({"categories": CATEGORIES + [{"id": 4, "name": "Red  car"}]}, "the same to a model; rename one"),
        ({"images": []}, "lists no images; give"),
        ({"images": [{"id": 1, "file_name": "../z.jpg"}]}, "None of the 1 images .*z.jpg, is in .* give .* --images"),
        ({"annotations": [{"id": 1}]}, "an annotation without image_id"),
        (
            {"annotations": [annotation(1, 3, [TRIANGLE], image=8)]},
            "annotations of the image 8, which it does not list",
        ),
    ],
)
def test_what_does_not_fit_is_named(source, imported, change, reason):
    with pytest.raises(UsageError, match=reason):
        imported(source(**change))


def test_a_picture_of_another_size_is_left_out_and_one_that_exif_turns_is_turned(source, imported, picture, tmp_path):
    path = source(annotation(1, 7, [TRIANGLE]), annotation(2, 7, [[0.0, 0, 15, 0, 15, 20, 0, 20]], image=2))
    picture(tmp_path / "coco/val2017/a.jpg", (29, 20))
    exif = Image.Exif()
    exif[274] = 6  # stored on its side: shown with width and height exchanged
    picture(tmp_path / "coco/val2017/deep/b.jpg", exif=exif)
    report, label = imported(path)
    assert label("deep/b").shape == (WIDTH, HEIGHT) and (label("deep/b")[:15] == 1).all()
    assert len(report["left_out"]) == 1 and "29 × 20 pixels, its annotation is of 30 × 20" in report["left_out"][0]
