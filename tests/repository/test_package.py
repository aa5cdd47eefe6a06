"""The wheel: what it holds, and that it works outside the checkout."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import setuptools
from PIL import Image

from tests.conftest import TINY_CLIP, TINY_RUN

ROOT = Path(__file__).parents[2]
SOURCES = ("errseg", "configs", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
# What the console script `errseg` does, and what it leaves behind
OUTSIDE = """
import sys
from errseg.cli import main
status = main(sys.argv[1:])
import errseg, detectron2
cfg = errseg.config.load_config("ablations/table5_without_crm")
print("RESULT", status, errseg.__file__, detectron2.__file__, cfg.MODEL.CRM.ENABLED, cfg.MODEL.CLIP.NAME)
"""


def builds_wheels() -> bool:
    """An older setuptools needs the package wheel."""
    version = tuple(int(part) for part in setuptools.__version__.split(".")[:2])
    return version >= (70, 1) or importlib.util.find_spec("wheel") is not None


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with what the wheel installs."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    if builds_wheels():
        command = ["-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    else:  # the files that the wheel would hold
        command = ["setup.py", "-q", "build_py", "--build-lib", "installed"]
    run = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for wheel in folder.glob("dist/*.whl"):
        zipfile.ZipFile(wheel).extractall(folder / "installed")
    return folder / "installed"


@pytest.fixture
def run(installed, tmp_path):
    """``run(script, word, ...)``: what the script prints, run under the name errseg outside the checkout."""

    def call(script, *words, path=(), **variables):
        (tmp_path / "errseg").write_text(script)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
        environment["PYTHONPATH"] = os.pathsep.join(map(str, (*path, installed)))
        done = subprocess.run(
            [sys.executable, tmp_path / "errseg", *words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_it_holds_all_that_the_checkout_has(installed):
    for folder, place in ((ROOT / "errseg", installed / "errseg"), (ROOT / "configs", installed / "errseg/configs")):
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert (place / path.relative_to(folder)).is_file(), path
    assert [path.name for path in installed.iterdir() if path.suffix != ".dist-info"] == ["errseg"]


def test_it_segments_outside_the_checkout(installed, run, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)).save(tmp_path / "photo.jpg")
    (tmp_path / "clip.json").write_text(json.dumps(TINY_CLIP))
    base = installed / "errseg/configs/base.yaml"
    (tmp_path / "tiny.yaml").write_text(TINY_RUN.format(base=base, clip=tmp_path / "clip.json", output=tmp_path))
    out = run(OUTSIDE, "predict", "photo.jpg", "--classes", "dog, grass", "--config", "tiny.yaml")
    _, status, package, detectron2, *rest = out.splitlines()[-1].split()
    assert status == "0" and rest == ["False", "convnext_base_w_320"] and "dog" in out
    assert Path(package).is_relative_to(installed)
    if os.environ.get("ERRSEG_DETECTRON2") == "compat":
        assert Path(detectron2).is_relative_to(installed)
    with Image.open(tmp_path / "output/predict/photo_labels.png") as labels:
        assert labels.size == (60, 40)
