"""The pieces of an export that a whole one does not show."""

import numpy as np
import pytest
import torch

from errseg.api import Segmenter
from errseg.export.check import drawn_pictures
from errseg.export.describe import describe
from errseg.export.formats import runner_of, write_program
from errseg.export.graph import ExportModule, label_dtype
from errseg.modeling.err_seg.crm import CRM
from errseg.modeling.err_seg.export import AnyNumberCRM


@pytest.mark.parametrize(("top", "num_names"), [(1, 9), (3, 2), (3, 9), (5, 4), (5, 30)])
@pytest.mark.parametrize("num_classes", (1, 3, 9))
def test_crm_of_any_number_of_names_keeps_what_crm_keeps(top, num_names, num_classes):
    cost = torch.rand(2, num_names, 3, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    crm = CRM(top_categories=top)
    assert torch.equal(AnyNumberCRM(crm)(cost, num_classes), crm(cost, num_classes))


@pytest.mark.parametrize("num_names", (10, 200, 3000))
def test_of_equal_scores_the_lower_ids_stay(num_names):
    """One location, so that three names have points and all others have none."""
    cost = -torch.arange(float(num_names)).roll(5).view(1, -1, 1, 1) / num_names  # 5, 6, 7 are best
    for crm in (CRM(), AnyNumberCRM(CRM())):
        assert crm(cost, 6).tolist() == [[0, 1, 2, 5, 6, 7]]


@pytest.mark.parametrize(
    ("count", "dtype"), [(256, torch.uint8), (257, torch.uint16), (65536, torch.uint16), (65537, torch.int32)]
)
def test_labels_are_of_the_smallest_type(count, dtype):
    assert label_dtype(count) is dtype


def test_drawn_pictures_differ():
    pictures = drawn_pictures(96)
    assert pictures.shape == (2, 3, 96, 96) and pictures.dtype == np.uint8
    assert (pictures[0] != pictures[1]).mean() > 0.5


class Doubled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(4096.0))

    def forward(self, images):
        best = (images.float() * self.weight).sort(dim=1, descending=True, stable=True)
        return best.indices.to(torch.uint16), best.values


@pytest.mark.parametrize("limit", (0, 1 << 30))
def test_weights_that_one_file_cannot_hold_go_beside_it(tmp_path, monkeypatch, limit):
    monkeypatch.setattr("errseg.export.formats.ONE_FILE", limit)
    images = torch.ones(2, 4096, dtype=torch.uint8)
    images[1] = 0  # all are equal
    with torch.no_grad():
        program = torch.export.export(Doubled(), (images,))
    write_program(program, "onnx", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx"} | ({"model.onnx.data"} if limit == 0 else set())
    order, values = runner_of(tmp_path / "model.onnx", 1)(images.numpy())
    assert values[0, 0] == 4095 and order[0, 0] == 4095
    assert (order[1] == np.arange(4096)).all()  # the lower index first, as torch's stable sort


def said_of(segmenter):
    model = segmenter.model
    module = ExportModule(model, 6, None, None)
    return describe(model, segmenter.cfg, module, 14, {})


def test_description_of_a_model_without_crm(make_segmenter):
    with_crm, without = said_of(make_segmenter()), said_of(make_segmenter("MODEL.CRM.ENABLED", False))
    assert with_crm["num_classes"] == 6 and "ERR-Seg keeps 6" in with_crm["inputs"][1]["values"]
    assert without["num_classes"] is None and "all are kept" in without["inputs"][1]["values"]


def test_description_does_not_pass_clip_off_as_the_weights(segmenter, tmp_path):
    (tmp_path / "clip.pt").write_bytes(b"pretrained")
    cfg = segmenter.cfg.clone()
    cfg.MODEL.CLIP.PRETRAINED = str(tmp_path / "clip.pt")
    said = said_of(Segmenter(segmenter.model, cfg))["errseg"]["weights"]
    assert said["file"] == "none: random weights, and CLIP's clip.pt" and said["sha256"] is None
