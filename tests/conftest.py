"""What the tests share: a tiny random ERR-Seg on the CPU, and tiny data sets on disk.

Its imports are in its functions: the process that hands out the tests to others reads this file too.
"""

import gc
import importlib
import itertools
import json
import logging
import os
import signal
from pathlib import Path

import pytest

from tests.hub import hub  # noqa: F401

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell that starts a background job has Ctrl-C ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["ERRSEG_TEXT_CACHE"] = "off"  # a test of the cache has a folder of its own

DATA = Path(__file__).parent / "data"
LONGEST = ("tests/export/", "tests/test_parity.py", "tests/cli/", "tests/repository/test_scripts", "tests/web/")
LOGGERS = {}  # level, propagation and handlers of the loggers that a run sets up
NAMES = ["cat", "grass", "sky, heaven", "red car", "sea", "road", "wall", "tree"]
TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {
        "timm_model_name": "test_convnext",
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": 32,
    },
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
# For each system, by its meta-architecture: the keys of a tiny model, on top of ``tiny_cfg``
TINY_SYSTEMS = {
    "ERRSeg": ["MODEL.CRM.NUM_CLASSES_TEST", 3, "MODEL.ESCF.DROP_PATH", 0.0],
    "CATSeg": [
        *("MODEL.BACKBONE.NAME", "SplitViTCLIP", "MODEL.CLIP.NAME", str(DATA / "tiny_vit.json")),
        *("MODEL.TOWER.RESOLUTION", 64, "MODEL.COST.MAX_CLASSES", 12, "MODEL.AGGREGATION.DIM", 32),
        *("MODEL.AGGREGATION.NUM_HEADS", 2, "MODEL.AGGREGATION.WINDOW", 2, "MODEL.AGGREGATION.GUIDANCE_DIM", 16),
        *("MODEL.UPSAMPLING.DIMS", [16, 16]),
    ],
    "DeOP": [
        *("MODEL.BACKBONE.NAME", "SeveredViTCLIP", "MODEL.CLIP.NAME", str(DATA / "tiny_vit.json")),
        *("MODEL.CLIP.FINETUNE_IMAGE", False, "MODEL.CLIP.FINETUNE_TEXT", False),
        *("MODEL.PROMPT.LEARNED", True, "MODEL.PROMPT.SYNONYMS", "whole", "MODEL.PROMPT.LENGTH", 4),
        *("MODEL.PATCH_SEVERANCE.BLOCKS", [2], "MODEL.POSITIONS.BLOCKS", [1], "MODEL.POSITIONS.GRID", 3),
        *("MODEL.PROPOSALS.BACKBONE", "ResNet18cHalf", "MODEL.PROPOSALS.NUM_QUERIES", 5, "MODEL.PROPOSALS.DIM", 32),
        *("MODEL.PROPOSALS.NUM_LAYERS", 2, "MODEL.PROPOSALS.FFN_DIM", 32),
    ],
}
TINY_SYSTEMS["SED"] = [
    *("MODEL.BACKBONE.NAME", "DenseConvNeXtCLIP", "MODEL.CLIP.NAME", str(DATA / "tiny_clip.json")),
    *(
        "MODEL.CLIP.FINETUNE_TEXT",
        False,
        "MODEL.PROMPT.TEMPLATES",
        ("a {}.", "the {}"),
        "MODEL.PROMPT.SYNONYMS",
        "mean",
    ),
    *("MODEL.FUSION.DIM", 32, "MODEL.FUSION.KERNEL_SIZES", [3, 3, 3]),
]
TINY_SYSTEMS["DeOPPrompt"] = TINY_SYSTEMS["DeOPProposals"] = TINY_SYSTEMS["DeOP"]
TINY_RUN = """\
_BASE_: {base}
MODEL:
  DEVICE: cpu
  CLIP: {{NAME: {clip}}}
  ESCF: {{DIM: 16, NUM_LAYERS: 2, NUM_HEADS: 2, DROP_PATH: 0.0}}
  CRM: {{NUM_CLASSES_TRAIN: 8, NUM_CLASSES_TEST: 8}}
DATASETS: {{TRAIN: [coco_2017_train_stuff_all_sem_seg], TEST: [coco_2017_test_stuff_all_sem_seg]}}
INPUT:
  RESOLUTION_TRAIN: 64
  RESOLUTION_TEST: 64
  MIN_SIZE_TRAIN: [64, 80]
  MIN_SIZE_TEST: 64
  SIZE_DIVISIBILITY: 64
  CROP: {{SIZE: [64, 64]}}
SOLVER: {{MAX_ITER: 6, CHECKPOINT_PERIOD: 4, IMS_PER_BATCH: 4, BASE_LR: 0.01, CLIP_MULTIPLIER: 0.1, WARMUP_ITERS: 2}}
DATALOADER: {{NUM_WORKERS: 0}}
TEST: {{EVAL_PERIOD: 0}}
SEED: 7
OUTPUT_DIR: {output}
"""


def pytest_configure(config):
    """Import errseg, which makes detectron2 importable; not where pytest-xdist only hands out tests to others."""
    if hasattr(config, "workerinput") or getattr(config.option, "dist", "no") == "no":
        importlib.import_module("errseg")
        gc.freeze()  # what is imported stays: a collection need not look at its half a million objects again
        gc.set_threshold(20_000, 10, 10)
    for logger in map(logging.getLogger, ("detectron2", "errseg", "fvcore")):
        LOGGERS[logger] = (logger.level, logger.propagate, list(logger.handlers))


def pytest_collection_modifyitems(items):
    """The longest tests come first: the last ones, which share the cores evenly, are short."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture(autouse=True, scope="module")
def collected():
    """Models in reference cycles do not outlive the tests of their module: collections are rare here."""
    yield
    gc.collect()


@pytest.fixture
def command(capsys):
    """``command(word, ...)``: exit status, output and errors of ``errseg word ...``, in this process."""
    from errseg.cli import main

    def run(*words):
        capsys.readouterr()
        status = main([str(word) for word in words])
        output = capsys.readouterr()
        return status, output.out, output.err

    return run


@pytest.fixture(autouse=True)
def silent_loggers():
    """The loggers that a run sets up, in this test or in a fixture of its module, are as before it again."""
    yield
    for logger, (level, propagate, handlers) in LOGGERS.items():
        logger.setLevel(level)
        logger.propagate, logger.handlers = propagate, list(handlers)


@pytest.fixture
def tiny_cfg():
    """A configuration whose model is built and run in a fraction of a second."""
    import errseg

    cfg = errseg.get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.MODEL.CLIP.NAME = str(DATA / "tiny_clip.json")
    cfg.MODEL.CRM.NUM_CLASSES_TRAIN = 4
    cfg.MODEL.ESCF.DIM = 32
    cfg.MODEL.ESCF.NUM_LAYERS = 2
    cfg.INPUT.RESOLUTION_TRAIN = 64
    cfg.INPUT.RESOLUTION_TEST = 64
    return cfg


@pytest.fixture
def build(tiny_cfg):
    """``build(KEY, value, ...)``: a seeded tiny model with those keys changed, its vocabulary set to NAMES."""
    import torch

    import errseg

    def make(*changes):
        tiny_cfg.merge_from_list(list(changes))
        torch.manual_seed(0)
        model = errseg.build_model(tiny_cfg)
        model.set_vocabulary(NAMES)
        return model

    return make


@pytest.fixture
def make_batch():
    """``make_batch(n)``: n random square images with labels among the first three NAMES and some ignored pixels."""
    import torch

    def make(n=2, size=64, seed=0):
        generator = torch.Generator().manual_seed(seed)
        batch = []
        for _ in range(n):
            labels = torch.randint(0, 3, (size, size), generator=generator)
            labels[:4] = 255
            image = torch.randint(0, 256, (3, size, size), generator=generator, dtype=torch.uint8)
            region = {"class_id": 1, "mask": labels == 1}  # for systems that classify regions
            size_of = {"height": size, "width": size}
            batch.append({"image": image, "sem_seg": labels, **region, **size_of, "file_name": "made up"})
        return batch

    return make


@pytest.fixture
def tiny_datasets(tmp_path, monkeypatch):
    """COCO-Stuff, train and val, as six images each of five classes, registered; returns the root of the data sets."""
    import numpy as np
    from PIL import Image

    from errseg.data import register_all

    random = np.random.default_rng(0)
    root = tmp_path / "datasets"
    for split, number in itertools.product(("train2017", "val2017"), range(6)):
        images, labels = root / "coco-stuff/images" / split, root / "coco-stuff/annotations_detectron2" / split
        images.mkdir(parents=True, exist_ok=True)
        labels.mkdir(parents=True, exist_ok=True)
        label = np.kron(random.integers(0, 5, (3, 4)), np.ones((16, 16), int)).astype(np.uint8)
        label[:4] = 255
        image = (label[..., None] * np.array([40, 20, 50]) + random.integers(0, 30, (48, 64, 3))).astype(np.uint8)
        Image.fromarray(image).save(images / f"{number}.jpg")
        Image.fromarray(label).save(labels / f"{number}.png")
    monkeypatch.setenv("DETECTRON2_DATASETS", str(root))
    register_all()
    yield root
    monkeypatch.undo()
    register_all()


@pytest.fixture
def tiny_config_file(tiny_datasets, tmp_path):
    """A run of a few seconds on ``tiny_datasets``: a YAML file on the recipe's."""
    clip, config = tmp_path / "clip.json", tmp_path / "tiny.yaml"
    clip.write_text(json.dumps(TINY_CLIP))
    base = Path(__file__).parents[1] / "configs/base.yaml"
    config.write_text(TINY_RUN.format(base=base, clip=clip, output=tmp_path / "output"))
    return config
