"""The sizes of the images that a file takes."""

import json

import numpy as np
import pytest
from PIL import Image

from errseg.errors import UsageError
from errseg.export import export_model
from errseg.export.check import drawn_pictures, labels_of_model
from errseg.export.example import example
from errseg.export.formats import runner_of
from errseg.export.pictures import as_input
from errseg.export.sizes import InputSize, input_size, views_of
from errseg.modeling import systems
from errseg.modeling.views import Views


def test_words_and_numbers():
    assert input_size(None, 80) == InputSize(80, 80) and input_size(None, 80).is_square
    assert input_size("96, 128", 64) == input_size((96, 128), 64) == InputSize(96, 128)
    assert input_size("dynamic", 640) == InputSize(640, 640, True) and not input_size("dynamic", 640).is_square


@pytest.mark.parametrize("size", ["96", "96,100", "32,64", "96x128", "-96,128", (96, 128.0), (96, 128, 3), "96,99968"])
def test_other_sizes_are_a_sentence(size):
    with pytest.raises(UsageError, match=r"^--size is .*H,W, multiples of 32 from 64 to 16384, or dynamic\.$"):
        input_size(size, 640)


def test_a_resolution_that_no_dynamic_file_takes():
    with pytest.raises(UsageError, match="--resolution 80"):
        input_size("dynamic", 80)


@pytest.mark.parametrize("name", ("CATSeg", "DeOP"))
def test_systems_whose_graph_excludes_sizes(segmenter, tmp_path, monkeypatch, name):
    (system,) = [each for each in systems() if each.meta_architecture == name]
    monkeypatch.setattr("errseg.export.exporting.system_of_model", lambda model: system)
    with pytest.raises(UsageError, match=f"{system.name} cannot export --size dynamic: .*; give --size H,W.$"):
        export_model(segmenter, tmp_path / "out", size="dynamic")
    assert list(tmp_path.iterdir()) == []


def test_the_model_sees_what_the_file_sees():
    """Of a picture of 300 x 400: a dynamic file keeps the aspect ratio, as far as multiples of 32 do."""
    for size, sides in ((InputSize(96, 160), (96, 160)), (InputSize(640, 640, True), (544, 736))):
        (view,) = views_of(Views(640), size).of(300, 400)
        assert view.size == size.of(300, 400) == sides and (view.rows, view.cols) == ((0, 300), (0, 400))
        assert as_input(np.zeros((300, 400, 3), np.uint8), size).shape == (1, 3, *sides)
    assert views_of(Views(640), InputSize(640, 640)) == Views(640)
    (view,) = views_of(Views(640), InputSize(320, 320)).of(300, 400)  # a square, but not that of the configuration
    assert view.size == (320, 320)


def test_example_resizes_as_the_comparison_does():
    source = example("onnx", InputSize(640, 640, True), False)
    compile(source, "example.py", "exec")
    lines = [line for line in source.splitlines() if line.startswith(("ratio =", "height, width ="))]
    for height, width in ((300, 400), (480, 270), (10, 900)):
        found = {"photo": Image.new("RGB", (width, height))}
        exec("\n".join(lines), found)
        assert (found["height"], found["width"]) == InputSize(640, 640, True).of(height, width)
    assert "photo.resize((160, 96)" in example("onnx", InputSize(96, 160), False)


def test_an_onnx_file_of_any_size(make_segmenter, tmp_path):
    """With the label map at the picture's size: both take a file of their own elsewhere."""
    segmenter = make_segmenter("MODEL.ESCF.SFM", False)
    done = export_model(segmenter, tmp_path / "out", size="dynamic", native_size=True)
    run, text = runner_of(done.file, 1), segmenter.encoded.text
    classes = np.asarray(segmenter.vocabulary.prompt_classes)
    for sides, picture in (((96, 160), (100, 130)), ((192, 64), (192, 64))):  # the example is 64 x 64
        images = drawn_pictures(*sides)[:1]
        expected, confidences = labels_of_model(segmenter.model, images, text, segmenter.encoded.num_kept, picture)
        labels, scores = run(images, np.array(picture))
        assert labels.shape == (1, *picture) and len(np.unique(expected)) >= 3
        assert (labels == classes[expected]).mean() >= 0.999
        np.testing.assert_allclose(scores, confidences, atol=1e-5)
    said = json.loads((tmp_path / "out/preprocessing.json").read_text(encoding="utf-8"))
    assert said["size"] is None and "multiples of 32" in said["resize"]
    assert said["inputs"][0]["shape"] == [1, 3, "height", "width"]
