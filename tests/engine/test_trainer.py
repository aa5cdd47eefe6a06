"""The trainer in one process: a run, its records, its resumption, its failures."""

import json

import pytest
import torch
from detectron2.engine import DefaultTrainer
from PIL import Image

import errseg
from errseg.engine import Trainer, load_config
from errseg.engine.trainer import _truncate_records

IMAGES = "coco-stuff/images/train2017"
LABELS = "coco-stuff/annotations_detectron2/train2017"


@pytest.fixture
def cfg(tiny_config_file):
    return load_config(str(tiny_config_file))


def records(cfg):
    with open(f"{cfg.OUTPUT_DIR}/metrics.json") as file:
        return [json.loads(line) for line in file]


def losses(cfg):
    return [(r["iteration"], r["total_loss"]) for r in records(cfg) if "total_loss" in r]


def train(cfg, resume=False):
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume)
    trainer.train()
    return trainer


def test_a_run_leaves_losses_scores_and_checkpoints(cfg, tmp_path):
    cfg.TEST.EVAL_PERIOD = 4
    trainer = train(cfg)
    assert isinstance(trainer, DefaultTrainer)
    assert [iteration for iteration, _ in losses(cfg)] == list(range(6))
    scored = [r["iteration"] for r in records(cfg) if "coco_2017_test_stuff_all_sem_seg/mIoU" in r]
    assert scored == [3, 6]
    written = {path.name for path in (tmp_path / "output").iterdir()}
    assert {"model_0000003.pth", "model_final.pth", "last_checkpoint", "evaluation.json"} <= written
    assert any(name.startswith("events.out.tfevents") for name in written)
    assert trainer.model.training and len(trainer.model.vocabulary.names) == 171


def test_a_run_without_a_seed_resumes_with_the_one_it_drew(cfg, tmp_path):
    cfg.SEED = -1
    first = train(cfg)
    whole = losses(cfg)
    (tmp_path / "output/last_checkpoint").write_text("model_0000003.pth")
    torch.manual_seed(0)
    second = train(cfg, resume=True)
    assert second._trainer.seed == first._trainer.seed
    assert losses(cfg) == whole


def test_amp_on_the_cpu_is_said_to_be_float32(cfg, caplog):
    assert cfg.SOLVER.AMP.ENABLED
    with caplog.at_level("INFO", logger="errseg"):
        trainer = Trainer(cfg)
    assert not trainer._trainer.amp
    assert len([r for r in caplog.records if "float32" in r.message]) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_a_corrupt_image_stops_training_by_name(cfg, tiny_datasets, workers):
    cfg.DATALOADER.NUM_WORKERS = workers
    bad = tiny_datasets / IMAGES / "3.jpg"
    bad.write_bytes(bad.read_bytes()[:300])
    with pytest.raises(ValueError, match=str(bad)):
        train(cfg)


def test_a_label_outside_the_vocabulary_stops_training_by_name(cfg, tiny_datasets):
    bad = tiny_datasets / LABELS / "4.png"
    Image.new("L", (64, 48), 171).save(bad)
    with pytest.raises(ValueError, match=f"{bad} holds the id 171"):
        train(cfg)


def test_records_are_cut_at_an_iteration_and_at_an_unfinished_line(tmp_path):
    path = tmp_path / "metrics.json"
    lines = [json.dumps({"iteration": i, "total_loss": 1.0}) + "\n" for i in (0, 1, 1, 2, 3)]
    path.write_text("".join(lines) + '{"iteration": 4, "to')
    _truncate_records(path, 9)
    assert path.read_text() == "".join(lines)
    _truncate_records(path, 2)
    assert path.read_text() == "".join(lines[:3])
    _truncate_records(tmp_path / "none.json", 2)


def test_training_refuses_random_clip_weights_where_others_were_asked_for(build):
    from errseg.engine.trainer import require_clip_weights
    from errseg.errors import UsageError

    model = build()
    cfg = errseg.get_cfg()
    require_clip_weights(cfg, model)  # none were asked for
    cfg.MODEL.CLIP.PRETRAINED = "laion_aesthetic_s13b_b82k"
    with pytest.raises(UsageError, match="laion_aesthetic_s13b_b82k.*could not be downloaded"):
        require_clip_weights(cfg, model)
    model.backbone.clip_source = "laion_aesthetic_s13b_b82k"
    require_clip_weights(cfg, model)
