"""A mini world of a few scenes, a tiny model's run, and requests for them."""

from pathlib import Path

import pytest
import torch

from errseg.mini import ablate, generate, register_mini
from errseg.paper.request import Request
from tests.tiny import write_run

COUNTS = {"train": 0, "seen": 3, "unseen": 3, "large": 2}


@pytest.fixture(scope="package")
def drawn(tmp_path_factory):
    """The folder of the scenes, and a folder with ``run``, the run of a tiny ERR-Seg, and ``clip.pt``."""
    root = tmp_path_factory.mktemp("paper")
    generate.generate(root, COUNTS, workers=1)
    register_mini(root)
    write_run(root / "run", "ERRSeg", "DATASETS.TRAIN", ("mini_train_sem_seg",))
    torch.save({}, root / "clip.pt")
    yield root
    register_mini()


@pytest.fixture
def ask(drawn, tmp_path, monkeypatch):
    """``ask(field=value, …)``: a request on the mini world, whose results are written to ``tmp_path``."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(drawn))
    monkeypatch.setattr(generate, "COUNTS", COUNTS)
    monkeypatch.setattr(ablate, "prepare", lambda output, tower, clip: None)

    def make(**changes):
        values = {"mini": True, "runs": Path("nowhere"), "out": tmp_path, "device": "cpu"}
        return Request(**{"command": "errseg paper table 0", **values, **changes})

    return make
