"""The description of an exported model."""

from dataclasses import replace

from errseg.api import Segmenter
from errseg.export.describe import describe
from errseg.export.graph import ExportModule


def said_of(segmenter):
    model = segmenter.model
    module = ExportModule(model, 6, None, None)
    return describe(model, segmenter.cfg, module, 14, {})


def test_description_of_a_model_without_crm(make_segmenter):
    with_crm, without = said_of(make_segmenter()), said_of(make_segmenter("MODEL.CRM.ENABLED", False, num_classes=None))
    assert with_crm["num_classes"] == 6 and "ERR-Seg keeps 6" in with_crm["inputs"][1]["values"]
    assert without["num_classes"] is None and "all are kept" in without["inputs"][1]["values"]


def test_description_does_not_pass_clip_off_as_the_weights(segmenter, tmp_path):
    (tmp_path / "clip.pt").write_bytes(b"pretrained")
    cfg = segmenter.cfg.clone()
    cfg.MODEL.CLIP.PRETRAINED = str(tmp_path / "clip.pt")
    said = said_of(Segmenter(segmenter.model, cfg))["errseg"]["weights"]
    assert said["file"] == "none: random weights, and CLIP's clip.pt" and said["sha256"] is None


def test_description_of_a_model_that_sees_pictures_at_their_own_size(make_segmenter):
    segmenter = make_segmenter("INPUT.MIN_SIZE_TEST", 48)
    squared = said_of(segmenter)["difference_from_evaluation"]
    assert "first resizes a picture's shorter side to 48 (INPUT.MIN_SIZE_TEST), and then resizes to" in squared
    segmenter.model.views = replace(segmenter.model.views, native=True)
    native = said_of(segmenter)["difference_from_evaluation"]
    assert "shorter side to 48 (INPUT.MIN_SIZE_TEST), keeps the aspect ratio, and resizes the scores" in native
