import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from errseg.api import KeptName, Result
from errseg.colors import colors_of
from errseg.web.examples import draw_examples
from errseg.web.view import LARGEST_SIDE, SMALLEST_SIDE, sentence, view


def decode(url):
    kind, content = url.split(",", 1)
    assert kind in ("data:image/png;base64", "data:image/jpeg;base64", "data:application/json;base64")
    return base64.b64decode(content)


def pixels(url):
    return np.asarray(Image.open(io.BytesIO(decode(url))))


def make_result(height=40, width=60, count=300):
    random = np.random.default_rng(0)
    labels = np.kron(random.integers(0, count, (height // 4, width // 4)), np.ones((4, 4), int)).astype(np.int32)
    scores = random.random((height, width), dtype=np.float32)
    image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    names = tuple(f"name {i}" for i in range(count))
    return Result(image, labels, scores, names, [KeptName("name 7", 0.5), KeptName("name 1", 0.25)])


@pytest.mark.parametrize("size", [(40, 60), (900, 800), (1600, 2000)])
def test_map_holds_names_and_confidence_of_each_pixel(size):
    result = make_result(*size)
    sent = view(result)
    data = pixels(sent["map"]).astype(int)
    height, width = data.shape[:2]
    assert max(height, width) == min(max(*size, SMALLEST_SIDE), LARGEST_SIDE)
    rows = ((np.arange(height) + 0.5) * size[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * size[1] / width).astype(int)
    ids = np.array([each.id for each in result.classes])
    np.testing.assert_array_equal(ids[data[..., 0] + 256 * data[..., 1]], result.labels[rows][:, columns])
    np.testing.assert_allclose(data[..., 2] / 255, result.scores[rows][:, columns], atol=0.002)
    assert pixels(sent["photo"]).shape == data.shape


def test_classes_and_kept_names():
    result = make_result()
    sent = view(result)
    for each, row in zip(result.classes, sent["classes"], strict=True):
        assert (row["name"], row["share"], row["score"]) == (each.name, each.share, each.score)
        assert row["color"] == colors_of(result.names)[each.id]
    assert sent["kept"] == [{"name": "name 7", "score": 0.5}, {"name": "name 1", "score": 0.25}]
    assert (sent["names"], sent["size"]) == (300, [60, 40])
    json.dumps(sent)  # as gradio does
    unranked = view(replace(result, kept=[KeptName("name 1", None)]))
    assert unranked["kept"] == [{"name": "name 1", "score": None}]


@pytest.mark.parametrize(("count", "dtype"), [(200, np.uint8), (300, np.uint16)])
def test_downloads(count, dtype):
    result = make_result(count=count)
    sent = view(result, "beach")
    labels = pixels(sent["labels"])
    assert labels.dtype == dtype
    np.testing.assert_array_equal(labels, result.labels)
    content = json.loads(decode(sent["json"]))
    assert content == {**result.to_dict(), "image": "beach", "annotations": result.to_coco()}


def test_sentence():
    assert sentence("No.", error=True) == {"sentence": "No.", "error": True}


def test_examples_are_drawn_alike_every_time(tmp_path):
    first, second = draw_examples(tmp_path / "a"), draw_examples(tmp_path / "b")
    assert len(first) == 4
    for one, other in zip(first, second, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes()
        assert one.names == other.names
        assert len(set(one.names)) == len(one.names) >= 6
        assert all(type(name) is str for name in one.names)
