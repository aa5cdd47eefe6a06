from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from errseg.api import Segmenter
from errseg.errors import UsageError
from errseg.web import Limits, Service
from errseg.web.service import open_picture


def test_result_is_the_segmenters(segmenter, picture):
    result = Service(segmenter).segment(picture, ["cat", '"sky, heaven"', "sea"])
    assert result.names == ("cat", "sky, heaven", "sea")
    segmenter.set_vocabulary(["cat", "sky, heaven", "sea"])
    np.testing.assert_array_equal(result.labels, segmenter(picture).labels)


def test_a_vocabulary_is_set_once(segmenter, picture, monkeypatch):
    calls = []
    set_vocabulary = Segmenter.set_vocabulary
    count = lambda self, names: calls.append(names) or set_vocabulary(self, names)  # noqa: E731
    monkeypatch.setattr(Segmenter, "set_vocabulary", count)
    service = Service(segmenter)
    for tags in (["cat", "sea"], ["cat", "sea"], ["cat"], ["cat", "sea"]):
        with ThreadPoolExecutor(1) as pool:  # whichever thread answers
            assert pool.submit(service.segment, picture, tags).result().names == tuple(tags)
    assert len(calls) == 3


def test_refused_names_leave_the_next_request_alone(segmenter, picture):
    service = Service(segmenter)
    service.segment(picture, ["cat", "sea"])
    with pytest.raises(UsageError, match="shorten it"):
        service.segment(picture, ["a " * 100])
    assert service.segment(picture, ["cat", "sea"]).names == ("cat", "sea")


def test_visitors_at_once_do_not_mix(segmenter, picture):
    """Every thread gets its own names and the labels of a call of its own."""
    service = Service(segmenter)
    requests = [["cat", "sea"], ["grass", "road", "wall"], ["tree"], ["sky", "cat"]]
    alone = [service.segment(picture, tags).labels for tags in requests]

    def visit(number):
        results = [service.segment(picture, requests[number]) for _ in range(5)]
        return all(result.names == tuple(requests[number]) for result in results) and all(
            np.array_equal(result.labels, alone[number]) for result in results
        )

    with ThreadPoolExecutor(len(requests)) as pool:
        assert all(pool.map(visit, range(len(requests))))


def test_pictures_that_are_refused(segmenter, tmp_path, picture):
    text, large, cut = tmp_path / "text.png", tmp_path / "large.png", tmp_path / "cut.png"
    text.write_text("not a picture")
    Image.new("RGB", (41, 25)).save(large)
    cut.write_bytes(picture.read_bytes()[:-200])
    service = Service(segmenter, Limits(max_pixels=1000))
    for path, words in (
        (text, "no picture that can be read"),
        (large, "41 x 25 pixels, and this page accepts 0.001 million"),
        (tmp_path / "gone.png", "choose it again"),
    ):
        with pytest.raises(UsageError, match=words) as error:
            service.segment(path, ["cat"])
        assert str(tmp_path) not in str(error.value)
    with pytest.raises(UsageError, match="damaged|cannot be read") as error:
        open_picture(cut, 10**6)
    assert str(tmp_path) not in str(error.value)


def test_the_size_is_checked_before_the_pixels_are_decoded(tmp_path, monkeypatch):
    path = tmp_path / "bomb.png"
    Image.new("1", (3000, 3000)).save(path)
    monkeypatch.setattr("errseg.web.service.read_image", lambda image: pytest.fail("it was decoded"))
    with pytest.raises(UsageError, match="3000 x 3000"):
        open_picture(path, 10**6)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # beyond twice of it, Pillow refuses by itself
    with pytest.raises(UsageError, match="far more than 1000000 pixels"):
        open_picture(path, 10**6)


def test_a_turned_picture_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "turned.jpg", exif=exif)
    assert open_picture(tmp_path / "turned.jpg", 100).shape == (8, 4, 3)


def test_what_is_read_by_other_programs_is_refused(tmp_path):
    """Pillow would start Ghostscript for it."""
    Image.new("RGB", (4, 4)).save(tmp_path / "script.eps")
    (tmp_path / "script.eps").rename(tmp_path / "script.png")
    with pytest.raises(UsageError, match="no picture that can be read"):
        open_picture(tmp_path / "script.png", 100)


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "gif", "bmp", "tif", "ppm"])
def test_usual_pictures_are_read(kind, tmp_path):
    Image.new("RGB", (8, 4), "red").save(tmp_path / f"picture.{kind}")
    image = open_picture(tmp_path / f"picture.{kind}", 100)
    assert image.shape == (4, 8, 3)
    assert np.abs(image - np.array([255, 0, 0])).max() < 6


def test_visitors_words_are_forgotten(segmenter, picture, monkeypatch):
    """Or the tokenizer's memory grew with every visitor; what it says of names stays the same."""
    monkeypatch.setattr("errseg.web.service.MAX_WORDS", 10)
    service = Service(segmenter)
    words = segmenter.model.prompter.tokenizer.cache
    first = service.segment(picture, ["cat", "sea"])
    for number in range(8):
        service.segment(picture, [f"word{letter}{number}" for letter in "abcdef"])
        assert len(words) <= 10
    assert "<end_of_text>" in words
    np.testing.assert_array_equal(service.segment(picture, ["cat", "sea"]).labels, first.labels)
