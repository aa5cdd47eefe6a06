"""A tiny model with synonyms in its vocabulary, and its exports, each made once."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import errseg
from errseg.api import Segmenter
from errseg.export import export_model
from errseg.export.formats import FORMATS, runner_of
from errseg.export.graph import trace

DATA = Path(__file__).parents[1] / "data"
SIDE = 64
NAMES = {
    "cat": ["kitten", "tabby"],
    "sky, heaven": [],
    **{name: [] for name in ("grass", "red car", "sea", "road", "wall", "tree", "bench", "door", "lamp")},
}
ROWS = 14  # names and synonyms
NUM_CLASSES = 6


def once():
    """A context for the exports of one model: the second format gets the program that was traced for the first."""
    programs = {}

    def trace_once(module, resolution):
        is_open = module.text is None
        if is_open not in programs:
            programs[is_open] = trace(module, resolution)
        return programs[is_open]

    @contextmanager
    def within():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("errseg.export.exporting.trace", trace_once)
            yield

    return within


@pytest.fixture(scope="package")
def make_segmenter():
    """``make_segmenter(KEY, value, ...)``: a seeded tiny model that sees pictures of 64 x 64 as they are."""

    def make(*changes, num_classes=NUM_CLASSES, names=NAMES):
        cfg = errseg.get_cfg()
        cfg.MODEL.DEVICE = "cpu"
        cfg.MODEL.CLIP.NAME = str(DATA / "short_clip.json")  # one block in each stage: each operation takes time
        cfg.MODEL.ESCF.DIM, cfg.MODEL.ESCF.NUM_LAYERS = 32, 1
        cfg.INPUT.RESOLUTION_TEST, cfg.INPUT.MIN_SIZE_TEST = SIDE, 0
        cfg.merge_from_list(list(changes))
        torch.manual_seed(0)
        model = errseg.build_model(cfg)
        with torch.no_grad():  # scores that differ by more than roundings
            model.sem_seg_head.gud.head.weight.mul_(3)
        segmenter = Segmenter(model, cfg)
        segmenter.set_vocabulary(names, num_classes)
        return segmenter

    return make


@pytest.fixture(scope="package")
def segmenter(make_segmenter):
    return make_segmenter()


@pytest.fixture(scope="package")
def exported(segmenter, tmp_path_factory):
    """``exported(format, open_vocabulary)``: what ``export_model`` gives of the tiny model."""
    made, tracing_once = {}, once()

    def get(format, open_vocabulary=False):
        key = (format, open_vocabulary)
        if key not in made:
            folder = tmp_path_factory.mktemp("exports") / f"{format}_{open_vocabulary}"
            with tracing_once():
                made[key] = export_model(segmenter, folder, format, open_vocabulary, NUM_CLASSES)
        return made[key]

    return get


@pytest.fixture(scope="package")
def runner(exported):
    """``runner(format, open_vocabulary)``: a function that runs the file of that export."""
    made = {}

    def get(*kind):
        if kind not in made:
            made[kind] = runner_of(exported(*kind).file, 1)
        return made[kind]

    return get


@pytest.fixture
def untraced(monkeypatch):
    """An export writes a made-up file, for the tests of what happens around the seconds that tracing takes."""

    def write(program, format, folder):
        (folder / FORMATS[format]).write_bytes(b"made up")

    monkeypatch.setattr("errseg.export.exporting.trace", lambda *_: None)
    monkeypatch.setattr("errseg.export.exporting.write_program", write)


@pytest.fixture(scope="session")
def pictures():
    """Three of coloured patches, and one of one colour, in which most names have no point: (4, 64, 64, 3) uint8."""
    random = np.random.default_rng(0)
    patches = [Image.fromarray(random.integers(0, 256, (6, 6, 3), np.uint8)) for _ in range(3)]
    sized = [np.asarray(patch.resize((SIDE, SIDE), Image.NEAREST)) for patch in patches]
    return np.stack([*sized, np.full((SIDE, SIDE, 3), 90, np.uint8)])
