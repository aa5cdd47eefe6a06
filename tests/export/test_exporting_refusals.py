"""What cannot be exported is refused in one sentence, and nothing is left behind."""

import importlib.util

import numpy as np
import pytest
import torch

from errseg.api import Segmenter
from errseg.errors import UsageError
from errseg.export import export_model


@pytest.mark.parametrize(
    ("changes", "format", "message"),
    [
        (("MODEL.PRECISION", "float16"), "torch_export", "float16 cannot run on the CPU"),
        (("MODEL.PRECISION", "bfloat16"), "onnx", "--format torch_export"),
        (("TEST.FLIP", True, "TEST.SCALES", (1.0, 1.5)), "onnx", "TEST.SCALES, TEST.FLIP"),
        (("TEST.KEEP_ASPECT", True), "onnx", "TEST.KEEP_ASPECT"),
        (("TEST.SLIDING_WINDOW", True), "torch_export", "one square"),
        ((), "tensorrt", "onnx, torch_export, openvino"),
    ],
)
def test_what_no_file_can_hold(make_segmenter, tmp_path, changes, format, message):
    segmenter = make_segmenter(*changes)
    with pytest.raises(UsageError, match=message):
        export_model(segmenter, tmp_path / "out", format)
    assert list(tmp_path.iterdir()) == []


def test_no_vocabulary(segmenter, tmp_path):
    with pytest.raises(UsageError, match="set_vocabulary"):
        export_model(Segmenter(segmenter.model, segmenter.cfg), tmp_path / "out")


def test_open_vocabulary_of_one_name(make_segmenter, tmp_path):
    with pytest.raises(UsageError, match="two or more"):
        export_model(make_segmenter(names=["cat"]), tmp_path / "out", open_vocabulary=True)


@pytest.mark.parametrize("package", ("onnx", "onnxscript", "onnxruntime"))
def test_missing_packages(segmenter, tmp_path, monkeypatch, package):
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == package else find(name, *more))
    with pytest.raises(UsageError, match=rf"{package}, not installed here; run pip install -e '.\[export\]'"):
        export_model(segmenter, tmp_path / "out", "onnx")


def test_folder_that_is_no_export(segmenter, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="--overwrite"):
        export_model(segmenter, tmp_path, "torch_export")
    with pytest.raises(UsageError, match="is a file"):
        export_model(segmenter, tmp_path / "file", "torch_export", overwrite=True)
    assert (tmp_path / "file").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("out", ("file/out", "x" * 300))
def test_folder_that_cannot_be_written(segmenter, tmp_path, out):
    """It is said before the minutes that tracing takes."""
    (tmp_path / "file").write_text("mine")
    said = []
    with pytest.raises(UsageError, match=f"--out .*{out} cannot be (read|written) .*another folder"):
        export_model(segmenter, tmp_path / out, "torch_export", say=said.append)
    assert said == [] and [path.name for path in tmp_path.iterdir()] == ["file"]


def test_full_disk_as_torch_says_it(segmenter, tmp_path, monkeypatch):
    def save(program, path):
        raise RuntimeError("PytorchStreamWriter failed writing file\ndata/3")

    monkeypatch.setattr("errseg.export.exporting.trace", lambda *_: None)
    monkeypatch.setattr(torch.export, "save", save)
    with pytest.raises(UsageError, match="cannot be written .PytorchStreamWriter failed writing file data/3"):
        export_model(segmenter, tmp_path / "out", "torch_export")
    assert list(tmp_path.iterdir()) == []


def test_file_that_disagrees_is_removed(segmenter, untraced, tmp_path, monkeypatch):
    def wrong(path, threads):
        return lambda images, *text: [np.full(images.shape[:1] + images.shape[2:], 77), None]

    monkeypatch.setattr("errseg.export.exporting.runner_of", wrong)
    with pytest.raises(UsageError, match=r"only 0\.00% of the pixels"):
        export_model(segmenter, tmp_path / "out", "torch_export")
    assert list(tmp_path.iterdir()) == []
