"""A resume from the checkpoint of either Detectron2, and the set-up of a run."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.engine import create_ddp_model, default_argument_parser, default_setup
from detectron2.utils.env import seed_all_rng
from torch import nn

HERE = Path(__file__).parents[1]
DATA = HERE / "data"


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import tiny

    return tiny


@pytest.mark.parametrize("which", ["real", "compat"])
def test_a_checkpoint_of_either_resumes(tiny, tmp_path, which):
    """Losses and rates after the resume are those of the run that wrote the checkpoint, on its Detectron2."""
    shutil.copy(DATA / f"checkpoint_{which}.pth", tmp_path / "model_0000003.pth")
    (tmp_path / "last_checkpoint").write_text("model_0000003.pth")
    trainer = tiny.TinyTrainer(tiny.tiny_cfg(tmp_path))
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 4
    trainer.train()
    recorded, resumed = tiny.read_records(DATA, f"records_{which}.json"), tiny.read_records(tmp_path)
    assert len(resumed) == 4
    assert resumed == [pytest.approx(record, rel=1e-5) for record in recorded[4:]]


def test_argument_parser():
    parser = default_argument_parser()
    args = parser.parse_args("--config-file f.yaml --num-gpus 2 --resume SOLVER.BASE_LR 0.1".split())
    assert (args.config_file, args.num_gpus, args.resume, args.eval_only) == ("f.yaml", 2, True, False)
    assert args.opts == ["SOLVER.BASE_LR", "0.1"]
    args = parser.parse_args("--eval-only --num-machines 2 --machine-rank 1 --dist-url auto".split())
    assert (args.num_machines, args.machine_rank, args.dist_url, args.num_gpus) == (2, 1, "auto", 1)
    assert args.eval_only and args.opts == [] and args.config_file == ""
    assert "own words" in default_argument_parser("own words").format_help()


def test_default_setup(tmp_path, log):
    cfg = get_cfg()
    cfg.OUTPUT_DIR, cfg.SEED = str(tmp_path / "out"), 5
    config = tmp_path / "c.yaml"
    config.write_text("SEED: 5\n# a comment\n")
    default_setup(cfg, default_argument_parser().parse_args(["--config-file", str(config)]))
    drawn = random.random(), np.random.rand(), torch.rand(1).item()
    seed_all_rng(5)
    assert drawn == (random.random(), np.random.rand(), torch.rand(1).item())
    again = get_cfg()
    again.merge_from_file(str(tmp_path / "out" / "config.yaml"))
    assert again.SEED == 5
    written = (tmp_path / "out" / "log.txt").read_text()
    for text in ("Rank of current process: 0. World size: 1", "Environment info", "a comment", "PyTorch"):
        assert text in written
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.yaml", "log.txt"]


def test_one_process_is_not_wrapped():
    model = nn.Linear(1, 1)
    assert create_ddp_model(model, broadcast_buffers=False) is model


def test_the_parts_of_a_step_are_the_trainers(tiny, tmp_path):
    trainer = tiny.TinyTrainer(tiny.tiny_cfg(tmp_path))
    assert trainer.optimizer is trainer._trainer.optimizer and trainer.data_loader is trainer._trainer.data_loader
    trainer.model = other = nn.Linear(1, 1)
    assert trainer._trainer.model is other
