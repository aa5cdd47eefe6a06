"""What the tests of evaluation share."""

import pytest

from errseg.config import get_cfg


@pytest.fixture
def cfg(tmp_path):
    """A configuration under which the oracle reads the pixels of the files."""
    cfg = get_cfg()
    cfg.OUTPUT_DIR = str(tmp_path / "output")
    cfg.MODEL.DEVICE = "cpu"
    cfg.INPUT.MIN_SIZE_TEST = 0
    cfg.DATALOADER.NUM_WORKERS = 0
    return cfg
