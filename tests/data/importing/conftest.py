"""What the tests of imports share: a small picture of each format's layout, and an import of it."""

import json

import numpy as np
import pytest
from PIL import Image

from errseg.data.importing import Options, import_data

HEIGHT, WIDTH = 20, 30


@pytest.fixture
def picture():
    """``picture(path, …)``: write an image of 30 × 20 pixels."""

    def make(path, size=(WIDTH, HEIGHT), **options):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (90, 120, 60)).save(path, **options)
        return path

    return make


@pytest.fixture
def write():
    """``write(path, content)``: a text, or an object as JSON; returns the path."""

    def make(path, content):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return make


@pytest.fixture
def imported(tmp_path):
    """``imported(source, option=…)``: the report, and a function from the place of a label to its ids."""

    def run(source, format=None, **options):
        out = tmp_path / "out"
        done = import_data(source, out, Options(**options), format, workers=1, samples=0)
        return done.report, lambda name: np.asarray(Image.open(out / "labels" / f"{name}.png"))

    return run
