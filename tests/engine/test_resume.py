"""An interrupted and resumed run of each system ends as the uninterrupted one does, bit for bit."""

import json

import pytest
import torch
from detectron2.data import MetadataCatalog

from errseg.data import register_sem_seg
from errseg.engine import Trainer, load_config
from errseg.modeling import systems
from tests.conftest import TINY_SYSTEMS

# DeOP trains in stages, from files of the stage before; tests/modeling/deop resumes them
SYSTEMS = [each.meta_architecture for each in systems() if not each.meta_architecture.startswith("DeOP")]


def train(cfg, resume=False):
    torch.manual_seed(0)  # of the weights
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume)
    trainer.train()


def flat(value, path=()):
    """The leaves of nested dictionaries and lists, by their path."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else None
    if inner is None:
        return {path: value}
    return {key: leaf for name, each in inner for key, leaf in flat(each, (*path, name)).items()}


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_resumed_run_ends_as_an_uninterrupted_one(system, tiny_config_file, tmp_path):
    coco, name = MetadataCatalog.get("coco_2017_train_stuff_all_sem_seg"), f"five_names_for_{system}"
    register_sem_seg(name, coco.image_root, coco.sem_seg_root, coco.stuff_classes[:5])  # fewer names take less time
    cfg = load_config(str(tiny_config_file))
    cfg.merge_from_list(["MODEL.META_ARCHITECTURE", system, *TINY_SYSTEMS[system]])
    cfg.merge_from_list(["DATASETS.TRAIN", (name,), "DATASETS.TEST", ()])
    cfg.merge_from_list(["SOLVER.MAX_ITER", 3, "SOLVER.CHECKPOINT_PERIOD", 2])
    output = tmp_path / "output"
    train(cfg)
    whole = torch.load(output / "model_final.pth", weights_only=True)
    lines = (output / "metrics.json").read_text().splitlines()
    (output / "model_final.pth").unlink()
    (output / "last_checkpoint").write_text("model_0000001.pth")
    train(cfg, resume=True)
    resumed = torch.load(output / "model_final.pth", weights_only=True)
    expected, found = flat(whole), flat(resumed)
    assert expected.keys() == found.keys() and any("exp_avg" in path for path in expected)
    for path, value in expected.items():
        equal = torch.equal(value, found[path]) if isinstance(value, torch.Tensor) else value == found[path]
        assert equal, path
    losses = [
        {key: value for key, value in json.loads(line).items() if "loss" in key or key == "iteration"} for line in lines
    ]
    again = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
    assert [{key: each[key] for key in before} for each, before in zip(again, losses, strict=True)] == losses
