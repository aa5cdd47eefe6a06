"""LabelMe's JSON: each shape, names with a meaning of their own, images beside the file and within it."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from errseg.data.importing import plan
from errseg.data.pairing import visible_files
from errseg.errors import UsageError
from tests.data.importing.conftest import HEIGHT, WIDTH


def shape(label, points, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}, **more}


def png(mask):
    file = io.BytesIO()
    Image.fromarray(mask).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def labelme(*shapes, **more):
    sizes = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
    base = {"version": "5.4.1", "flags": {}, "shapes": list(shapes), "imagePath": "a.jpg", "imageData": None}
    return {**base, **sizes, **more}


@pytest.fixture
def folder(tmp_path, picture):
    picture(tmp_path / "lm/a.jpg")
    return tmp_path / "lm"


def test_each_shape(folder, write, imported):
    mask = np.array([[255, 0, 255], [0, 255, 0]], np.uint8)
    shapes = [
        shape("field", [[0, 0], [30, 0], [30, 10], [0, 10]]),
        shape("house", [[9, 8], [4, 2]], "rectangle"),
        shape("pond", [[20.0, 14.0], [24.0, 14.0]], "circle"),
        shape("moss", [[1, 17], [3, 18]], "mask", mask=png(mask)),
        shape("__ignore__", [[28, 18], [30, 18], [30, 20], [28, 20]]),
        shape("_background_", [[0, 12], [2, 12], [2, 14], [0, 14]]),
        shape("road", [[0, 0], [5, 5]], "line"),
        shape("road", [[0, 0], [5, 5], [6, 6]], "star"),
    ]
    write(folder / "a.json", labelme(*shapes))
    report, label = imported(folder)
    assert report["format"] == "labelme"
    names = [each["name"] for each in report["classes"]]
    assert names == ["background", "field", "house", "moss", "pond"]
    found = label("a")
    assert (found[:2] == 1).all() and (found[2:8, 4:9] == 2).all() and (found == 2).sum() == 30
    assert abs((found == 4).sum() - np.pi * 16) < 4 and found[14, 20] == 4
    assert np.array_equal(found[17:19, 1:4] == 3, mask > 0)
    assert (found[18:, 28:] == 255).all() and (found[12:14, :2] == 0).all()
    reasons = {each["reason"] for each in report["dropped_regions"]}
    assert reasons == {"it is a line, which has no area", "its shape_type 'star' is unknown"}


def test_an_image_within_the_file(folder, write, imported):
    data = base64.b64encode((folder / "a.jpg").read_bytes()).decode()
    (folder / "a.jpg").unlink()
    field = shape("field", [[0, 0], [30, 0], [30, 10], [0, 10]])
    write(folder / "b/x.json", labelme(field, imageData=data))
    write(folder / "c.json", labelme(field))
    write(folder / "d.json", labelme(field, imageData="no base64!"))
    write(folder / "e.json", {"hello": 1})
    report, label = imported(folder)
    assert (label("b/x")[:10] == 0).all() and report["pictures"] == 1
    assert Image.open(folder.parent / "out/images/b/x.jpg").size == (WIDTH, HEIGHT)
    said = " ".join(report["left_out"])
    assert (
        "The image a.jpg of" in said and "image data in the annotation are damaged" in said and "e.json is none" in said
    )


def test_an_image_in_a_folder_beside_that_of_the_file(folder, write, imported):
    field = shape("field", [[0, 0], [30, 0], [30, 10], [0, 10]])
    path = write(folder / "json/a.json", labelme(field, imagePath="..\\a.jpg"))
    _, label = imported(path)
    assert (label("a")[:10] == 0).all()


def test_a_given_folder_of_images_is_listed_once(folder, write, picture, imported, monkeypatch):
    field, listed = shape("field", [[0, 0], [30, 0], [30, 10], [0, 10]]), []
    monkeypatch.setattr(plan, "visible_files", lambda place: listed.append(place) or visible_files(place))
    for name in ("a", "b", "c"):
        picture(folder / f"images/deep/{name}.jpg")
        write(folder / f"json/{name}.json", labelme(field, imagePath=f"..\\{name}.jpg"))
    report, _ = imported(folder / "json", images=folder / "images")
    assert report["pictures"] == 3 and listed == [folder / "images"]


def test_what_does_not_fit_is_named(folder, write, imported):
    with pytest.raises(UsageError, match="holds no file of LabelMe; correct the path"):
        imported(folder, format="labelme")
    file = write(folder / "a.json", labelme(3))
    with pytest.raises(UsageError, match="a.json has a shape that is no object; correct it"):
        imported(folder)
    write(file, labelme(shape("a", [[0, 0], [1e400, 3], [4, 5]])).__repr__().replace("'", '"').replace("None", "null"))
    with pytest.raises(UsageError, match="is no JSON"):
        imported(folder, format="labelme")
    write(file, labelme(shape("a", [[0, 0], ["x", 3], [4, 5]]), shape("", [[0, 0]])))
    with pytest.raises(UsageError, match="has no region with a name"):
        imported(file)
