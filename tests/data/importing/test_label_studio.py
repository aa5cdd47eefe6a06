"""Label Studio's JSON export with brush strokes and polygons, and its PNG export."""

import numpy as np
import pytest
from PIL import Image

from errseg.data.brush import encode_brush
from errseg.errors import UsageError
from tests.data.importing.conftest import HEIGHT, WIDTH

SIZES = {"original_width": WIDTH, "original_height": HEIGHT, "from_name": "tag", "to_name": "image"}


def mask(place):
    made = np.zeros((HEIGHT, WIDTH), bool)
    made[place] = True
    return made


def stroke(label, place):
    value = {"format": "rle", "rle": encode_brush(mask(place)), "brushlabels": [label]}
    return {**SIZES, "type": "brushlabels", "value": value}


def polygon(label, points):
    return {**SIZES, "type": "polygonlabels", "value": {"points": points, "polygonlabels": [label], "closed": True}}


def task(number, image, *results, **more):
    return {
        "id": number,
        "data": {"image": image},
        "annotations": [{"id": 10 * number, "result": list(results)}],
        **more,
    }


@pytest.fixture
def images(tmp_path, picture):
    for name in ("bridge.jpg", "wall.jpg"):
        picture(tmp_path / "ls/images" / name)
    return tmp_path / "ls"


def test_strokes_and_polygons(images, write, imported):
    box = {**SIZES, "type": "rectanglelabels", "value": {"x": 1, "y": 1, "width": 9, "height": 9}}
    corner = polygon("rust", [[0, 0], [50, 0], [50, 25], [0, 25]])
    unnamed = {**box, "value": {"rle": [1, 2]}}
    tasks = [
        task(1, "/data/upload/3/0a1b2c3d-bridge.jpg", stroke("crack", np.s_[3:9]), corner),
        task(2, "/data/local-files/?d=site/wall.jpg", stroke("rust", np.s_[:, 3]), box, unnamed),
        task(3, "gone.jpg"),
        {**task(4, "wall.jpg"), "annotations": [{"result": []}, {"result": []}]},
    ]  # fmt: skip
    report, label = imported(write(images / "export.json", tasks))
    assert report["format"] == "label-studio" and [each["name"] for each in report["classes"]] == ["crack", "rust"]
    expected = np.full((HEIGHT, WIDTH), 255)
    expected[3:9], expected[:5, :15] = 0, 1
    assert np.array_equal(label("bridge"), expected) and np.array_equal(label("wall") == 1, mask(np.s_[:, 3]))
    assert {each["reason"] for each in report["dropped_regions"]} == {
        "it is a box, which has no mask",
        "it has no label",
    }
    said = " ".join(report["left_out"])
    assert "gone.jpg, is not among the images" in said and "The task 4 has 2 annotations" in said


def test_predictions_count_where_there_is_no_annotation(images, write, imported):
    tasks = [{"data": {"image": "wall.jpg"}, "predictions": [{"result": [stroke("rust", np.s_[2])]}]}]
    report, label = imported(write(images / "tasks.json", tasks))
    assert np.array_equal(label("wall") == 0, mask(np.s_[2])) and "prediction" in report["notes"][0]


def test_a_png_for_each_class_in_the_order_of_the_annotation(images, write, imported):
    places = {"rust-0": np.s_[:6], "crack-0": np.s_[4:8], "crack-1": np.s_[15:]}
    for name, place in places.items():
        Image.fromarray(mask(place).astype(np.uint8) * 255).save(images / f"task-1-annotation-10-by-1-tag-{name}.png")
    strokes = [stroke("crack", np.s_[4:8]), stroke("rust", np.s_[:6]), stroke("crack", np.s_[15:])]
    write(images / "export.json", [task(1, "bridge.jpg", *strokes)])
    report, label = imported(images)
    assert report["format"] == "label-studio" and report["overlapped_pixels"] == 2 * WIDTH
    assert (label("bridge") == np.repeat([1, 0, 255, 0], [6, 2, 7, 5])[:, None]).all()
    write(images / "export.json", [task(1, "bridge.jpg", strokes[1], strokes[0], strokes[2])])
    assert (imported(images)[1]("bridge")[:6] == np.repeat([1, 0], [4, 2])[:, None]).all()


def test_damaged_strokes_are_dropped(images, write, imported):
    good = encode_brush(mask(np.s_[:3]))
    codes = [good[:-8], [*good[:3], 7, *good[4:]], ["x"], [300]]
    results = [stroke("rust", np.s_[:2])] + [
        {**SIZES, "type": "brushlabels", "value": {"rle": code, "brushlabels": ["rust"]}} for code in codes
    ]
    report, _ = imported(write(images / "export.json", [task(1, "bridge.jpg", *results)]))
    reasons = [each["reason"] for each in report["dropped_regions"]]
    assert len(reasons) == 4 and "it has a brush mask that ends early" in reasons
    odd = [
        task(1, "bridge.jpg", *results[:1]),
        {"id": 2, "data": {"image": "wall.jpg"}, "annotations": 5, "predictions": 5},
    ]
    assert imported(write(images / "export.json", odd))[0]["empty_pictures"] == ["wall.jpg"]
    with pytest.raises(UsageError, match="is no list of tasks; export the project as JSON"):
        imported(write(images / "export.json", [5]), "label-studio")
    with pytest.raises(UsageError, match="annotation file .* no JSON"):
        imported(write(images / "export.json", "[{"))
