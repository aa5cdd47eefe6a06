"""The best weights of a run, and its early end: whole, and resumed."""

import json
from pathlib import Path

import pytest
import torch
from detectron2.utils.events import get_event_storage
from safetensors import safe_open
from safetensors.torch import load_file

from errseg.engine import Trainer, load_config
from errseg.engine.best import Best, best_set
from errseg.errors import UsageError

SET = "coco_2017_test_stuff_all_sem_seg"
SCORES = [10.0, 30.0, 20.0, float("nan"), 40.0, 50.0]  # by iteration


@pytest.fixture
def cfg(tiny_config_file, monkeypatch):
    """A run with an evaluation after every iteration, whose scores are those above."""
    monkeypatch.setattr(Trainer, "test", lambda *_: {SET: {"mIoU": SCORES[min(get_event_storage().iter, 5)]}})
    cfg = load_config(str(tiny_config_file))
    cfg.merge_from_list(["TEST.EVAL_PERIOD", 1, "SOLVER.CHECKPOINT_PERIOD", 2, "SOLVER.BEST", "first"])
    return cfg


def train(cfg, resume=False):
    torch.manual_seed(0)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume)
    trainer.train()
    return trainer


def best_of(folder):
    """The iteration of the best weights, and the weights."""
    path = folder / "model_best.safetensors"
    with safe_open(path, "pt") as file:
        assert file.metadata()["best"] == SET
        return int(file.metadata()["iteration"]), load_file(path)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_patience_ends_a_run_and_a_resume_of_it(cfg, tmp_path, caplog):
    cfg.SOLVER.PATIENCE = 2
    output = Path(cfg.OUTPUT_DIR)
    with caplog.at_level("INFO", logger="errseg"):
        train(cfg)
    assert "The run ends at iteration 3: 2 evaluations without a better score of" in caplog.text
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]
    final = torch.load(output / "model_final.pth", weights_only=True)
    assert final["iteration"] == final["trainer"]["iteration"] == 3
    assert final["trainer"]["best"] == {"name": SET, "value": 30.0, "iteration": 1, "seen": 3, "waited": 2}
    assert same(load_file(output / "model_final.safetensors"), final["model"])
    iteration, best = best_of(output)
    assert iteration == 1 and same(best, torch.load(output / "model_0000001.pth", weights_only=True)["model"])
    records = (output / "metrics.json").read_text()

    train(cfg, resume=True)  # it stays where it is
    assert (output / "metrics.json").read_text() == records

    # A kill right after the second evaluation, before the best weights were written: the checkpoint does not know it
    lines = [line for line in records.splitlines(keepends=True) if json.loads(line)["iteration"] <= 1]
    (output / "metrics.json").write_text("".join(lines))
    (output / "last_checkpoint").write_text("model_0000001.pth")
    for name in ("model_best.safetensors", "model_final.pth", "model_0000003.pth"):
        (output / name).unlink()
    train(cfg, resume=True)
    again = torch.load(output / "model_final.pth", weights_only=True)
    assert again["trainer"]["best"] == final["trainer"]["best"] and same(again["model"], final["model"])
    assert best_of(output)[0] == 1 and same(best_of(output)[1], best)

    cfg.SOLVER.PATIENCE = 3  # and on, with more patience
    train(cfg, resume=True)
    assert best_of(output)[0] == 6  # of the evaluation after the last iteration
    bad = torch.load(output / "model_final.pth", weights_only=True)
    bad["trainer"]["best"]["waited"] = "2"
    torch.save(bad, output / "model_final.pth")
    with pytest.raises(UsageError, match="model_final.pth cannot be resumed from: trainer.best has waited 2 in place"):
        train(cfg, resume=True)


def test_what_is_best():
    best = Best("a_set", patience=2)
    assert [best.see({"a_set/mIoU": score}, n) for n, score in enumerate([None, 3.0, 3.0, 2.0])] == [0, 1, 0, 0]
    assert (best.value, best.iteration, best.seen, best.waited, best.is_due) == (3.0, 1, 3, 2, True)
    other = Best("a_set")
    other.load_state_dict(best.state_dict())
    assert other.state_dict() == best.state_dict() and not other.is_due
    assert Best("regions").see({"regions/top1": 1.0}, 0)  # of systems that classify regions
    unlike = Best("another")
    unlike.load_state_dict(best.state_dict())
    assert unlike.value is None and not unlike.see({"a_set/mIoU": 9.0}, 4)
    for change in ([], {"name": 1}, {"value": "3"}, {"value": float("inf")}, {"iteration": -2}, {"waited": True}):
        with pytest.raises(UsageError, match="x.pth cannot be resumed from: trainer.best "):
            best.check_state_dict(change and {**best.state_dict(), **change}, "x.pth")
    best.check_state_dict(None, "x.pth")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["SOLVER.BEST", "none"], f"SOLVER.BEST = 'none' is none of DATASETS.TEST .{SET}."),
        (["SOLVER.BEST", "first", "TEST.EVAL_PERIOD", 0], "TEST.EVAL_PERIOD is 0; give a period"),
        (["SOLVER.PATIENCE", 2, "SOLVER.BEST", "", "DATASETS.TEST", ()], "SOLVER.PATIENCE = 2 needs evaluations, but"),
    ],
)
def test_best_of_what_is_not_evaluated(cfg, keys, message):
    cfg.merge_from_list(keys)
    with pytest.raises(UsageError, match=message):
        best_set(cfg)


def test_the_set_of_a_configuration(cfg):
    assert best_set(cfg) == SET
    cfg.SOLVER.BEST = ""
    assert best_set(cfg) == ""
    cfg.SOLVER.PATIENCE = 1
    assert best_set(cfg) == SET
