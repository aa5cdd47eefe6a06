"""The label map at the picture's size inside the file."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from errseg.export import agreement_on_pictures, export_model
from errseg.export.check import drawn_pictures, labels_of_model
from errseg.export.example import example
from errseg.export.formats import runner_of
from errseg.export.graph import ExportModule
from errseg.export.native import best_at_size
from errseg.export.sizes import InputSize


@pytest.mark.parametrize("count", (1, 16, 17, 40))
def test_blocks_give_what_all_names_at_once_give(count):
    scores = torch.rand(2, count, 5, 7, generator=torch.Generator().manual_seed(count))
    resized = torch.nn.functional.interpolate(scores, (23, 12), mode="bilinear")
    places, best = best_at_size(scores, (23, 12))
    torch.testing.assert_close(best, resized.amax(1))
    assert torch.equal(places, resized.argmax(1))


def test_the_first_of_equal_names_wins():
    places, best = best_at_size(torch.ones(1, 40, 2, 2), (3, 3))
    assert (places == 0).all() and (best == 1).all()


@pytest.mark.parametrize("format", ("onnx", "torch_export"))
def test_example_gives_the_size(format):
    source = example(format, InputSize(64, 64), True, True)
    compile(source, "example.py", "exec")
    assert "[photo.height, photo.width])" in source and "text" in source


def test_a_rectangle_for_pictures_of_any_size(make_segmenter, tmp_path):
    segmenter = make_segmenter("MODEL.ESCF.SFM", False)
    done = export_model(segmenter, tmp_path / "out", "torch_export", size="64,96", native_size=True)
    images, run = drawn_pictures(64, 96), runner_of(done.file, 1)
    text, classes = segmenter.encoded.text, np.asarray(segmenter.vocabulary.prompt_classes)
    for picture in ((64, 96), (150, 97), (31, 200)):
        expected, confidences = labels_of_model(segmenter.model, images, text, segmenter.encoded.num_kept, picture)
        labels, scores = run(images, np.array(picture))
        assert labels.shape == (2, *picture) and len(np.unique(expected)) >= 3
        assert (labels == classes[expected]).mean() >= 0.9999
        np.testing.assert_allclose(scores, confidences, atol=1e-5)
    said = json.loads((tmp_path / "out/preprocessing.json").read_text(encoding="utf-8"))
    assert said["label_map"] == "at the picture's size" and said["inputs"][1]["name"] == "picture_size"
    assert said["size"] == [64, 96] and said["resolution"] is None and said["resize"].startswith("to 64 x 96, height x")
    assert said["inputs"][0]["shape"] == ["batch", 3, 64, 96]
    assert said["outputs"][0]["shape"] == ["batch", "picture_height", "picture_width"]
    before, own = segmenter.model.views, list(images.transpose(0, 2, 3, 1))
    compared = agreement_on_pictures(run, segmenter, own, size=done.takes, native_size=True)
    assert min(compared.agreement) >= 0.999 and segmenter.model.views == before


@torch.no_grad()
def test_a_model_with_its_own_divisor_of_confidences(make_segmenter, pictures):
    """Such as DeOP's: it is resized like the scores."""
    segmenter = make_segmenter()
    model, encoded = segmenter.model, segmenter.encoded
    module = ExportModule(model, encoded.num_kept, None, None, native_size=True)
    plain = module.model.segment

    def with_total(*arguments):
        prediction = plain(*arguments)
        return replace(prediction, total=2 * prediction.scores.amax(1, keepdim=True))

    module.model.segment = with_total
    images = torch.from_numpy(pictures.transpose(0, 3, 1, 2))
    _, scores = module(images, encoded.text, torch.tensor([64, 64]))
    assert scores.shape == (4, 64, 64) and 0 < scores.min() and scores.max() <= 0.5 + 1e-4
