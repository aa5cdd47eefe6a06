"""A whole small training with its files and resume, and the set-up of a run."""

import json
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

DATA = Path(__file__).parent / "data"


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import tiny

    return tiny


def lines_of(folder):
    return [json.loads(line) for line in (Path(folder) / "metrics.json").read_text().splitlines()]


def test_a_small_training(tiny, tmp_path, log):
    cfg = tiny.tiny_cfg(tmp_path)
    cfg.TEST.EVAL_PERIOD = 4
    cfg.TEST.EXPECTED_RESULTS = [["sem_seg", "count", 14.0, 0.1]]
    torch.manual_seed(0)
    trainer = tiny.TinyTrainer(cfg)
    assert trainer.train() == {"sem_seg": {"count": 14.0, "count-class": 1.0}}
    files = {path.name for path in tmp_path.iterdir() if not path.name.startswith("events")}
    assert files >= {"metrics.json", "last_checkpoint", "model_0000002.pth", "model_final.pth"}
    assert (tmp_path / "last_checkpoint").read_text() == "model_final.pth"
    lines = lines_of(tmp_path)
    losses = next(line for line in lines if "total_loss" in line)
    assert losses["iteration"] == 5 and losses["lr"] == pytest.approx(0.01)
    assert losses["total_loss"] == pytest.approx(losses["loss_a"] + losses["loss_b"], rel=0.5)
    assert {"iteration": 3, "sem_seg/count": 14.0, "sem_seg/count-class": 1.0} in lines
    assert {"iteration": 6, "sem_seg/count": 14.0, "sem_seg/count-class": 1.0} in lines
    for text in ("training from iteration 0", "Saving checkpoint to", "eta: ", "iter: 5", "total_loss: ", "lr: "):
        assert text in log.text
    cfg.TEST.EXPECTED_RESULTS = [["sem_seg", "count", 1.0, 0.1]]
    with pytest.raises(SystemExit):
        tiny.TinyTrainer(cfg).train()


def test_a_resumed_training_is_the_same(tiny, tmp_path):
    class Still(tiny.TinyTrainer):
        @classmethod
        def build_train_loader(cls, cfg):
            return iter(lambda: [torch.ones(3), torch.arange(3.0)], None)

    def run(folder, **solver):
        torch.manual_seed(0)
        trainer = Still(tiny.tiny_cfg(folder, LR_SCHEDULER_NAME="WarmupCosineLR", MAX_ITER=6, **solver))
        trainer.resume_or_load(resume=True)
        start = trainer.start_iter
        trainer.train()
        return start, trainer.model.state_dict()

    start, whole = run(tmp_path / "whole")
    assert start == 0
    again = tmp_path / "again"
    again.mkdir()
    shutil.copy(tmp_path / "whole" / "model_0000002.pth", again)
    (again / "last_checkpoint").write_text("model_0000002.pth")
    start, resumed = run(again)
    assert start == 3
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize("which", ["real", "compat"])
def test_a_checkpoint_of_either_resumes(tiny, tmp_path, which):
    """Losses after a resume are those that the Detectron2 which wrote the checkpoint had."""
    shutil.copy(DATA / f"checkpoint_{which}.pth", tmp_path / "model_final.pth")
    (tmp_path / "last_checkpoint").write_text("model_final.pth")
    trainer = tiny.TinyTrainer(tiny.tiny_cfg(tmp_path, MAX_ITER=8))
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 4
    trainer.train()
    recorded = json.loads((DATA / f"resumed_{which}.json").read_text())
    line = next(line for line in lines_of(tmp_path) if "total_loss" in line)
    assert {key: line[key] for key in recorded} == pytest.approx(recorded, rel=1e-5)


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


def test_evaluators_that_are_given_or_missing_and_what_the_trainer_shows(tiny, tmp_path, log):
    class Without(tiny.TinyTrainer):
        @classmethod
        def build_evaluator(cls, cfg, dataset_name):
            raise NotImplementedError

    cfg = tiny.tiny_cfg(tmp_path)
    trainer = Without(cfg)
    assert Without.test(cfg, trainer.model) == {}
    assert any(record.levelname == "WARNING" for record in log.records)
    for evaluators in (tiny.Counter(), [tiny.Counter()], [[tiny.Counter()]]):
        assert Without.test(cfg, trainer.model, evaluators=evaluators)["sem_seg"]["count"] == 14.0
    with pytest.raises(AssertionError):
        Without.test(cfg, trainer.model, evaluators=[tiny.Counter(), tiny.Counter()])
    assert trainer.data_loader is trainer._trainer.data_loader
    trainer.model = other = nn.Linear(1, 1)
    assert trainer._trainer.model is other
