"""Every system that can be exported: the written file labels as the model does. ERR-Seg has the other files' tests."""

import json

import numpy as np
import pytest
import torch

import errseg
from errseg.api import Segmenter
from errseg.export import export_model
from errseg.export.check import labels_of_model
from errseg.export.formats import runner_of
from errseg.export.graph import ExportModule
from errseg.modeling import systems
from errseg.modeling.deop import DeOP
from errseg.modeling.sed import SED
from tests.conftest import NAMES, TINY_SYSTEMS
from tests.modeling.deop.conftest import sharpen

from .conftest import once

SIDE = 80  # no multiple of the coarsest stride
SIDES = {"SED": 96}  # which takes multiples alone
# A second layer has the modules of the first, and makes the graph larger, which takes most of the time
SMALL = {
    "CATSeg": ["MODEL.AGGREGATION.NUM_LAYERS", 1],
    "SED": ["MODEL.REJECTION.ENABLED", True, "MODEL.REJECTION.TOP_K", 1],
}
OTHERS = [each.meta_architecture for each in systems() if "export" not in each.cannot and each.name != "ERR-Seg"]


@pytest.fixture(scope="module", params=OTHERS)
def segmenter(request):
    cfg = errseg.get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.INPUT.RESOLUTION_TEST, cfg.INPUT.MIN_SIZE_TEST = SIDES.get(request.param, SIDE), 0
    cfg.merge_from_list(["MODEL.META_ARCHITECTURE", request.param, *TINY_SYSTEMS[request.param]])
    cfg.merge_from_list(SMALL.get(request.param, []))
    torch.manual_seed(0)
    model = errseg.build_model(cfg)
    model.set_vocabulary(NAMES)
    if isinstance(model, SED):
        reject_more(model)
    segmenter = Segmenter(sharpen(model) if isinstance(model, DeOP) else model, cfg)
    segmenter.set_vocabulary(NAMES)
    return segmenter


@torch.no_grad()
def reject_more(model):
    """Heads that give an image names of its own, and scores that differ by more than roundings."""
    generator = torch.Generator().manual_seed(3)
    for head in model.decoder.aux_heads:
        head.weight.normal_(generator=generator)
    model.decoder.embed.conv.weight.mul_(16)
    model.decoder.head.weight.mul_(4)


@pytest.fixture(scope="module")
def images(segmenter):
    side = segmenter.model.views.resolution // 16
    patches = np.random.default_rng(0).integers(0, 256, (3, 3, side, side), np.uint8)
    return np.kron(patches, np.ones((1, 1, 16, 16), np.uint8))


@torch.no_grad()
def in_a_mask(model, images, text):
    """Where the divisor of a confidence is not near 0: elsewhere it is a ratio of two roundings."""
    found = model.segment(model.normalize(torch.from_numpy(images).float()), text, 0).dense(images.shape[-2:])
    held = torch.ones(found.scores[:, 0].shape) if found.total is None else found.total.squeeze(1)
    assert (held > 0.01).float().mean() > 0.8
    return (held > 0.01).numpy()


@pytest.fixture(scope="module")
def tracing_once(segmenter):
    return once()


@pytest.mark.parametrize("format", ("onnx", "torch_export"))
def test_file_agrees_with_the_model(segmenter, images, tmp_path, format, tracing_once, recwarn):
    """Of an open vocabulary. What a closed one adds, the names and their synonyms, is the same for every system."""
    with tracing_once():
        done = export_model(segmenter, tmp_path / "out", format, open_vocabulary=True)
    said = json.loads((tmp_path / "out/preprocessing.json").read_text())
    assert said["num_classes"] is None and said["open_vocabulary"]
    assert not [str(each.message) for each in recwarn if "complete tensor" in str(each.message)]
    run, text = runner_of(done.file, 1), segmenter.encoded.text
    held = in_a_mask(segmenter.model, images, text)
    for count in (len(text), 4):
        expected, confidences = labels_of_model(segmenter.model, images, text[:count], 0)
        assert len(np.unique(expected)) >= 3  # else the comparison says little
        for chosen in (images[:1], images):
            labels, scores = run(chosen, text[:count].numpy())
            assert (labels == expected[: len(chosen)]).mean() >= 0.999
            where = held[: len(chosen)]
            np.testing.assert_allclose(scores[where], confidences[: len(chosen)][where], atol=1e-4)
            assert 0 < scores.min() and scores.max() <= 1


def test_what_a_prediction_does_not_need_stays_behind(segmenter):
    """The text tower, above all; the model itself does not change."""
    model, before = segmenter.model, set(segmenter.model.state_dict())
    module = ExportModule(model, 0, None, None)
    kept = {name.removeprefix("model.") for name in module.state_dict()}
    needless = {name for name in before if name.startswith(("backbone.clip.", "prompt.")) and ".visual." not in name}
    assert needless and not kept & needless
    assert set(model.state_dict()) == before
