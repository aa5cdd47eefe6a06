"""What the tests of Detectron2's interface share. They run on the Detectron2 that is active, and must pass on both."""

import logging
import uuid

import numpy as np
import pytest
from PIL import Image

import errseg  # noqa: F401  isort: skip  makes detectron2 importable

SIZES = [(20, 30), (30, 20), (25, 25), (40, 20), (20, 40)]  # height, width of the fixture's images


@pytest.fixture
def sem_seg_set(tmp_path):
    """A registered data set of five random images: its name. Labels are 0-3, and 255 in the first row."""
    from detectron2.data import DatasetCatalog, MetadataCatalog

    records = []
    random = np.random.RandomState(0)
    for index, size in enumerate(SIZES):
        image, label = str(tmp_path / f"i{index}.jpg"), str(tmp_path / f"i{index}.png")
        records.append({"file_name": image, "sem_seg_file_name": label})
        Image.fromarray(random.randint(0, 255, (*size, 3), dtype=np.uint8)).save(image)
        truth = random.randint(0, 4, size, dtype=np.uint8)
        truth[0] = 255
        Image.fromarray(truth).save(label)
    name = f"set_{uuid.uuid4().hex}"
    DatasetCatalog.register(name, lambda: records)
    MetadataCatalog.get(name).set(stuff_classes=["a", "b", "c", "d"], ignore_label=255)
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


@pytest.fixture
def log(caplog):
    """Messages of Detectron2's loggers, which do not propagate once they are set up."""
    loggers = [logging.getLogger(name) for name in ("detectron2", "fvcore")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.propagate = True
        logger.setLevel(logging.INFO)
    caplog.set_level(logging.INFO)
    yield caplog
    for logger, (level, propagate) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.propagate = propagate
