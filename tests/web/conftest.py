"""A tiny model with random weights, as the folder of a run."""

import numpy as np
import pytest
import torch
from PIL import Image

import errseg
from tests.conftest import DATA
from tests.web.browser import CHROMIUM, chromium

NAMES = ["cat", "grass", "red car", "sea", "road"]


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """The folder of a run whose model is built and run in a fraction of a second."""
    folder = tmp_path_factory.mktemp("run")
    cfg = errseg.get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.CLIP.NAME = str(DATA / "tiny_clip.json")
    cfg.MODEL.ESCF.DIM = 32
    cfg.MODEL.ESCF.NUM_LAYERS = 2
    cfg.MODEL.CRM.NUM_CLASSES_TEST = 4
    cfg.INPUT.RESOLUTION_TRAIN = cfg.INPUT.RESOLUTION_TEST = 64
    cfg.INPUT.MIN_SIZE_TEST = 64
    torch.manual_seed(0)
    torch.save({"model": errseg.build_model(cfg).state_dict()}, folder / "model_final.pth")
    (folder / "config.yaml").write_text(cfg.dump())
    return folder


@pytest.fixture(scope="session")
def segmenter(run_folder):
    return errseg.load(run_folder, device="cpu", verbose=False)


@pytest.fixture(scope="session")
def picture(tmp_path_factory):
    """Path of a picture of soft blobs, 96 x 64."""
    random = np.random.default_rng(3)
    cells = Image.fromarray(random.integers(0, 256, (4, 6, 3), dtype=np.uint8))
    path = tmp_path_factory.mktemp("pictures") / "blobs.png"
    cells.resize((96, 64), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="browser tests need playwright")
    if chromium() is None:
        pytest.skip("browser tests need Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM)
        yield browser
        browser.close()
