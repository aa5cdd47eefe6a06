"""What cannot be exported is said in a sentence, and nothing is left behind."""

import errno
import importlib.util
import os

import numpy as np
import pytest
import torch

from errseg.api import Segmenter
from errseg.errors import UsageError
from errseg.export import export_model
from errseg.export.folder import check_folder, new_folder


@pytest.mark.parametrize(
    ("changes", "format", "message"),
    [
        (("MODEL.PRECISION", "float16"), "torch_export", "float16 cannot run on the CPU"),
        (("MODEL.PRECISION", "bfloat16"), "onnx", "--format torch_export"),
        (("TEST.FLIP", True, "TEST.SCALES", (1.0, 1.5)), "onnx", "TEST.SCALES, TEST.FLIP"),
        (("TEST.KEEP_ASPECT", True), "onnx", "TEST.KEEP_ASPECT"),
        (("TEST.SLIDING_WINDOW", True), "torch_export", "one square"),
        ((), "tensorrt", "onnx, torch_export"),
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


def test_full_disk(tmp_path):
    with pytest.raises(UsageError, match="No space left"), new_folder(tmp_path / "out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_full_disk_as_torch_says_it(segmenter, tmp_path, monkeypatch):
    def save(program, path):
        raise RuntimeError("PytorchStreamWriter failed writing file\ndata/3")

    monkeypatch.setattr(torch.export, "save", save)
    with pytest.raises(UsageError, match="cannot be written .PytorchStreamWriter failed writing file data/3"):
        export_model(segmenter, tmp_path / "out", "torch_export")
    assert list(tmp_path.iterdir()) == []


def test_file_that_disagrees_is_removed(segmenter, tmp_path, monkeypatch):
    def wrong(path, threads):
        return lambda images, *text: [np.full(images.shape[:1] + images.shape[2:], 77), None]

    monkeypatch.setattr("errseg.export.exporting.runner_of", wrong)
    with pytest.raises(UsageError, match=r"only 0\.00% of the pixels"):
        export_model(segmenter, tmp_path / "out", "torch_export")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def earlier(tmp_path):
    """The folder of an earlier export, as far as ``new_folder`` looks at it."""
    folder = tmp_path / "out"
    with new_folder(folder) as temporary:
        for name in ("model.pt2", "names.json", "text_embeddings.npy", "example.py"):
            (temporary / name).write_text("earlier")
        (temporary / "preprocessing.json").write_text('{"errseg": {}}')
    return folder


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_interruption_leaves_nothing_and_spares_the_earlier_export(segmenter, earlier, monkeypatch):
    before = content(earlier)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("errseg.export.exporting.describe", interrupt)  # the last step
    with pytest.raises(KeyboardInterrupt):
        export_model(segmenter, earlier, "torch_export")
    assert [path.name for path in earlier.parent.iterdir()] == ["out"]
    assert content(earlier) == before


def test_a_second_export_takes_the_place_of_the_first(earlier):
    (earlier / "overlay.png").write_text("mine")
    check_folder(earlier, overwrite=False)
    with new_folder(earlier) as temporary:
        (temporary / "model.onnx").write_text("new")
        (temporary / "preprocessing.json").write_text("{}")
    assert content(earlier) == {"model.onnx": "new", "preprocessing.json": "{}", "overlay.png": "mine"}
    assert [path.name for path in earlier.parent.iterdir()] == ["out"]


def test_what_a_killed_process_has_left_goes(tmp_path):
    left = tmp_path / ".out.export.tmp"
    left.mkdir()
    (left / "model.pt2").write_text("half")
    with new_folder(tmp_path / "out") as temporary:
        (temporary / "preprocessing.json").write_text("{}")
    assert content(tmp_path / "out") == {"preprocessing.json": "{}"} and not left.exists()


def test_what_a_killed_process_has_left_in_a_folder_goes(tmp_path):
    """It writes within a folder that is there, for this may be a file system of its own, such as a container's."""
    with new_folder(tmp_path) as temporary:
        assert temporary.parent == tmp_path
    (tmp_path / temporary.name).mkdir()
    (tmp_path / temporary.name / "model.pt2").write_text("half")
    check_folder(tmp_path, overwrite=False)
    with new_folder(tmp_path) as temporary:
        (temporary / "preprocessing.json").write_text("{}")
    assert content(tmp_path) == {"preprocessing.json": "{}"}


def test_overwrite_keeps_other_files(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    check_folder(tmp_path, overwrite=True)
    with new_folder(tmp_path) as temporary:
        (temporary / "preprocessing.json").write_text("{}")
    assert content(tmp_path) == {"notes.txt": "mine", "preprocessing.json": "{}"}
