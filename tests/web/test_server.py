import importlib
import os
import sys
import tempfile
from pathlib import Path

import pytest

import errseg
import errseg.web
from errseg.errors import UsageError
from errseg.web import server
from errseg.web.keeping import claim


def test_temporary_folder_takes_all_and_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    monkeypatch.setenv("NO_PROXY", "intern.example")
    with pytest.raises(SystemExit), server.temporary_folder() as folder:
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
        assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
        assert os.environ["NO_PROXY"].startswith("intern.example,127.0.0.1")
        assert folder.stat().st_mode & 0o077 == 0  # nobody else on the machine reads it
        with tempfile.NamedTemporaryFile(delete=False) as file:
            assert Path(file.name).parent == folder
        raise SystemExit
    assert list(tmp_path.iterdir()) == []
    assert "GRADIO_TEMP_DIR" not in os.environ
    assert os.environ["NO_PROXY"] == "intern.example"


def test_folders_of_killed_servers_go_at_the_next_start(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f"{server.PREFIX}left/visitors"
    left.mkdir(parents=True)
    claim(left.parent).close()
    with server.temporary_folder() as first:
        assert not left.parent.exists()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        with server.temporary_folder() as second:
            assert first != second and first.exists()


def test_missing_gradio_is_a_sentence(monkeypatch):
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs gradio; run pip install -e '\.\[web\]'"):
        server.serve(None)


def test_importing_does_not_need_gradio(monkeypatch):
    monkeypatch.setattr(errseg, "web", errseg.web)  # to be put back
    for name in [name for name in sys.modules if name.partition(".")[0] == "gradio" or name.startswith("errseg.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert importlib.import_module("errseg.web") is not server
    assert "errseg.web.page" not in sys.modules


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--weights", "missing.pth"], "missing.pth"),
        (["--max-names", "0"], "--max-names: '0' is not a positive number"),
        (["--auth", "lab"], "--auth is USER:PASSWORD-FILE"),
    ],
)
def test_wrong_arguments_end_with_a_sentence(arguments, words, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    status, _, errors = command("web", *arguments)
    assert status == 2 and words in errors and errors.count("\n") == 1
