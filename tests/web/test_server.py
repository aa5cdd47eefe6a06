import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from errseg.errors import UsageError
from errseg.web import server
from errseg.web.keeping import claim

ROOT = Path(__file__).resolve().parents[2]


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


def test_importing_does_not_need_gradio():
    code = "import sys; sys.modules['gradio'] = None; import errseg.web"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--weights", "missing.pth"], "missing.pth"),
        (["--max-names", "0"], "--max-names: '0' is not a positive number"),
        (["--auth", "lab"], "--auth is USER:PASSWORD-FILE"),
    ],
)
def test_wrong_arguments_end_with_a_sentence(arguments, words, tmp_path):
    command = [sys.executable, ROOT / "tools/web.py", *arguments]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 2
    assert words in run.stderr and "Traceback" not in run.stderr
