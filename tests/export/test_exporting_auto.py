"""A file with a K that fits the image says what the model says, for images that keep different numbers of names."""

import json

import numpy as np
import pytest

from errseg.export import export_model
from errseg.export.check import labels_of_model
from errseg.export.formats import runner_of
from errseg.modeling.num_kept import AutoKept

AUTO = ("MODEL.CRM.AUTO_THRESHOLD", 0.13, "MODEL.CRM.AUTO_MAX", 9)
SMALL = ("MODEL.ESCF.SFM", False, "MODEL.GUD.ENABLED", False)  # what mixes names stays; each operation takes time


@pytest.mark.parametrize(("format", "is_open"), [("onnx", False), ("torch_export", True)])
def test_each_image_of_a_batch_keeps_its_own_names(make_segmenter, pictures, tmp_path, format, is_open):
    segmenter = make_segmenter(*AUTO, *SMALL, num_classes="auto")
    done = export_model(segmenter, tmp_path / "out", format, is_open)
    assert done.num_classes == segmenter.encoded.num_kept == AutoKept(0.13, 1, 9) and done.agreement >= 0.999
    said = json.loads((done.folder / "preprocessing.json").read_text(encoding="utf-8"))
    assert said["num_classes"] == {"threshold": 0.13, "least": 1, "most": 9}
    results = segmenter(list(pictures))
    assert len({len(result.kept) for result in results}) > 1
    run, images = runner_of(done.file, 1), pictures.transpose(0, 3, 1, 2)
    text = segmenter.encoded.text
    if is_open:  # of fewer names than the example
        assert "as many as fit the image: auto (0.13 points" in said["inputs"][1]["values"]
        text = text[:3]
        expected, expected_scores = labels_of_model(segmenter.model, images, text, done.num_classes)
    else:
        expected = np.stack([result.labels for result in results])
        expected_scores = np.stack([result.scores for result in results])
    for chosen in ([3], [0, 1, 2, 3]):
        labels, scores = run(images[chosen], *([text.numpy()] if is_open else []))
        assert (labels == expected[chosen]).mean() >= 0.999
        np.testing.assert_allclose(scores, expected_scores[chosen], atol=1e-5)
