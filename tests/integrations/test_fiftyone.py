"""A segmenter as a model of FiftyOne, with the real package where it is installed."""

import sys
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

from errseg.errors import UsageError
from tests.conftest import NAMES
from tests.tiny import blobs, tiny_segmenter


@pytest.fixture(scope="module")
def fiftyone():
    return pytest.importorskip("fiftyone", exc_type=Exception)  # it also fails where it finds no database


@pytest.fixture
def segmenter():
    segmenter = tiny_segmenter("DeOP")  # pictures of several sizes make batches of several sizes
    segmenter.set_vocabulary(NAMES)
    return segmenter


@pytest.fixture
def dataset(fiftyone, tmp_path):
    """Two pictures of different sizes in a data set that FiftyOne forgets."""
    for index, size in enumerate([(50, 70), (40, 30)]):
        Image.fromarray(blobs(*size, seed=3 + index)).save(tmp_path / f"{index}.png")
    try:
        dataset = fiftyone.Dataset(f"errseg-{uuid4()}")
    except Exception as error:
        pytest.skip(f"FiftyOne has no database here: {error}")
    dataset.add_samples([fiftyone.Sample(filepath=str(tmp_path / f"{index}.png")) for index in range(2)])
    yield dataset
    dataset.delete()


def test_a_missing_package_is_one_sentence(monkeypatch):
    for name in ["fiftyone", *(name for name in sys.modules if name.startswith("fiftyone."))]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "errseg.integrations.fiftyone", raising=False)
    with pytest.raises(
        UsageError, match=r"FiftyOne cannot be imported .*; install it: pip install 'errseg\[fiftyone\]'"
    ):
        import errseg.integrations.fiftyone  # noqa: F401


def test_a_data_set_gets_the_masks_of_the_segmenter(dataset, segmenter, fiftyone):
    from errseg.integrations.fiftyone import FiftyOneModel

    model = FiftyOneModel(segmenter)
    results = segmenter([sample.filepath for sample in dataset])
    limit = float(np.median(results[0].scores))
    options = {"one": {}, "sure": {"confidence_thresh": limit}, "some": {"classes": NAMES[4:], "batch_size": 2}}
    for field, more in options.items():
        dataset.apply_model(model, label_field=field, skip_failures=False, progress=False, **more)
    dataset.mask_targets["one"] = model.mask_targets
    dataset.save()
    dataset.reload()
    assert dataset.mask_targets["one"] == dict(enumerate(NAMES, start=1))
    for sample, result in zip(dataset, results, strict=True):
        sure = result.scores >= limit
        assert isinstance(sample["one"], fiftyone.Segmentation) and sample["one"].mask.dtype == np.uint8
        assert np.array_equal(sample["one"].mask, result.labels + 1) and len(np.unique(result.labels)) > 1
        assert np.array_equal(sample["sure"].mask, np.where(sure, result.labels + 1, 0))
        assert np.array_equal(sample["some"].mask, np.where(result.labels >= 4, result.labels + 1, 0))
    assert model.config.confidence_thresh == 0 and model.config.filter_classes is None


def test_confidences_are_a_heatmap(dataset, segmenter, fiftyone):
    from errseg.integrations.fiftyone import FiftyOneModel

    dataset.apply_model(FiftyOneModel(segmenter, confidences=True), label_field="errseg", batch_size=2, progress=False)
    for sample in dataset:
        result = segmenter(sample.filepath)
        assert np.array_equal(sample["errseg_labels"].mask, result.labels + 1)
        heatmap = sample["errseg_confidence"]
        assert isinstance(heatmap, fiftyone.Heatmap) and heatmap.range == [0, 255]
        assert np.abs(heatmap.map / 255 - result.scores).max() <= 0.5 / 255 + 1e-6


def test_what_cannot_go_well_ends_before_the_first_picture(dataset, segmenter):
    from errseg.integrations.fiftyone import FiftyOneModel

    model = FiftyOneModel(segmenter)
    with pytest.raises(UsageError, match="min_confidence = 2"):
        dataset.apply_model(model, "errseg", confidence_thresh=2)
    with pytest.raises(UsageError, match="classes has 'dog'"):
        dataset.apply_model(model, "errseg", classes=["dog"])
    with pytest.raises(RuntimeError, match="no vocabulary"):
        dataset.apply_model(FiftyOneModel(tiny_segmenter("DeOP")), "errseg")
    assert not dataset.has_field("errseg")
