"""The folder of an export: nothing is left behind, and other files stay."""

import errno
import os

import pytest

from errseg.errors import UsageError
from errseg.export import export_model
from errseg.export.folder import check_folder, new_folder


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


def test_interruption_leaves_nothing_and_spares_the_earlier_export(segmenter, untraced, earlier, monkeypatch):
    before = content(earlier)
    monkeypatch.setattr("errseg.export.exporting.runner_of", lambda *_: None)
    monkeypatch.setattr("errseg.export.exporting.agreement_on_drawings", lambda *_: 1.0)

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


def test_full_disk(tmp_path):
    with pytest.raises(UsageError, match="No space left"), new_folder(tmp_path / "out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []
