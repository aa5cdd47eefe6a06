"""Which Detectron2 runs: an installed one, else the stand-in; ``ERRSEG_DETECTRON2`` forces one."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import detectron2
import pytest

import errseg


def test_the_asked_for_detectron2_runs():
    asked = os.environ.get("ERRSEG_DETECTRON2")
    is_compat = "errseg.compat" in detectron2.__version__
    assert is_compat == ("compat" in Path(detectron2.__file__).parts)
    if asked:
        assert is_compat == (asked == "compat")


@pytest.fixture
def chosen(tmp_path, monkeypatch):
    """``chosen(choice, is_installed)``: the folder of the Detectron2 that a new process would import."""

    def choose(choice, is_installed):
        (tmp_path / "detectron2").mkdir()  # alone, it is a clone beside the script, and no package
        if is_installed:
            (tmp_path / "detectron2/__init__.py").touch()
        monkeypatch.setenv("ERRSEG_DETECTRON2", choice)
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
        monkeypatch.delitem(sys.modules, "detectron2")
        errseg._provide_detectron2()
        return Path(importlib.util.find_spec("detectron2").origin).parents[1]

    return choose


@pytest.mark.parametrize(
    ("choice", "is_installed", "is_real"),
    [("", True, True), ("", False, False), ("real", True, True), ("compat", True, False), ("compat", False, False)],
)
def test_an_installed_detectron2_is_preferred(choice, is_installed, is_real, chosen, tmp_path):
    assert chosen(choice, is_installed) == (tmp_path if is_real else Path(errseg.__file__).parent / "compat")


@pytest.mark.parametrize(
    ("choice", "message"), [("real", "not installed; install it"), ("both", "'real' and 'compat'")]
)
def test_a_choice_that_cannot_be_is_an_error(choice, message, chosen):
    with pytest.raises(ImportError, match=f"ERRSEG_DETECTRON2=.*{choice}.*{message}"):
        chosen(choice, is_installed=False)


def test_importing_errseg_waits_for_nothing_that_only_some_uses_need():
    """Together these libraries take as long to import as errseg itself, in every command and every process."""
    late = ["gradio", "matplotlib", "onnx", "open_clip", "scipy", "sympy", "tensorboard", "timm", "torchvision"]
    program = f"import sys, errseg; print(sorted(set({late}) & set(sys.modules)))"
    environment = {**os.environ, "ERRSEG_DETECTRON2": "compat"}  # Detectron2 itself imports some of them
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
