"""The trainer in one process: a run, its records, its resumption, its failures."""

import copy
import json
import resource
import shutil

import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.engine import DefaultTrainer
from PIL import Image

import errseg
from errseg.data import register_sem_seg
from errseg.engine import Trainer, load_config
from errseg.errors import UsageError
from tests.conftest import TINY_SYSTEMS

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


@pytest.fixture(scope="module")
def a_run(tmp_path_factory):
    """The folder of a run without evaluations, once it has been made."""
    return tmp_path_factory.mktemp("run") / "output"


@pytest.fixture
def trained(cfg, a_run):
    """The configuration of a run that has ended, without evaluations."""
    cfg.DATASETS.TEST = ()
    clip = a_run.with_name("clip.json")  # one path, as a changed one is told
    shutil.copy(cfg.MODEL.CLIP.NAME, clip)
    cfg.MODEL.CLIP.NAME = str(clip)
    if not a_run.exists():
        train(cfg)
        shutil.copytree(cfg.OUTPUT_DIR, a_run)
    shutil.copytree(a_run, cfg.OUTPUT_DIR, dirs_exist_ok=True)
    return cfg


def train(cfg, resume=False):
    torch.manual_seed(0)  # of the weights
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume)
    trainer.train()
    return trainer


@pytest.mark.parametrize("split", ["TRAIN", "TEST"])
def test_names_that_the_model_cannot_tell_apart_are_refused_at_the_start(cfg, split, tmp_path):
    register_sem_seg("equal_names", tmp_path, tmp_path, ["bag, purse", "bag, sack"])
    cfg.DATASETS[split] = ("equal_names",)
    with pytest.raises(UsageError, match="the same to the model"):
        Trainer(cfg)


def test_a_split_is_scored_in_training_and_refused_where_training_has_its_unseen_classes(cfg):
    coco = MetadataCatalog.get("coco_2017_test_stuff_all_sem_seg")
    folders, classes = (coco.image_root, coco.sem_seg_root), coco.stuff_classes[:5]
    register_sem_seg("split_train", *folders, classes[:3], label_map={0: 0, 1: 1, 2: 2, 3: 255, 4: 255, 255: 255})
    register_sem_seg("split_test", *folders, classes, unseen_classes=[3, 4])
    cfg.DATASETS.TEST = ("split_test",)
    with pytest.raises(UsageError, match="split_test counts 2 classes as unseen in training, but DATASETS.TRAIN coco_"):
        Trainer(cfg)
    cfg.DATASETS.TRAIN, cfg.SOLVER.MAX_ITER = ("split_train",), 2
    train(cfg)
    (scores,) = [r for r in records(cfg) if "split_test/mIoU" in r]
    seen, unseen, harmonic = (scores[f"split_test/{key}"] for key in ("mIoU_seen", "mIoU_unseen", "hIoU"))
    assert scores["split_test/mIoU"] == pytest.approx((3 * seen + 2 * unseen) / 5)
    assert harmonic == pytest.approx(2 * seen * unseen / (seen + unseen) if seen + unseen else 0)


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


def test_a_resume_loads_nothing_of_a_checkpoint_with_a_fault(cfg, tmp_path):
    cfg.SOLVER.MAX_ITER = 2
    cfg.TEST.EVAL_PERIOD = 100
    train(cfg)
    path = tmp_path / "output/model_final.pth"
    good = torch.load(path, weights_only=True)
    trainer = Trainer(cfg)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    for change, words in (
        (lambda x: x.pop("trainer"), "has no 'trainer'"),
        (lambda x: x["trainer"].pop("_trainer"), "trainer has no '_trainer'"),
        (lambda x: x["trainer"].update(iteration="1"), "trainer.iteration is '1'"),
        (lambda x: x["trainer"]["_trainer"]["optimizer"]["state"][0].update(exp_avg=torch.ones(1)), "shape"),
        (lambda x: next(iter(x["model"].values())).fill_(torch.nan), "NaN"),
    ):
        content = copy.deepcopy(good)
        change(content)
        torch.save(content, path)
        with pytest.raises(UsageError, match=f"model_final.pth.*{words}"):
            trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 0
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())
    torch.save(good, path)
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 2


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


def test_training_refuses_random_clip_weights_where_others_were_asked_for(build):
    from errseg.modeling.weights import require_weights

    model = build()
    cfg = errseg.get_cfg()
    require_weights(cfg, model)  # none were asked for
    cfg.MODEL.CLIP.PRETRAINED = "laion_aesthetic_s13b_b82k"
    with pytest.raises(UsageError, match="laion_aesthetic_s13b_b82k.*could not be downloaded"):
        require_weights(cfg, model)
    model.weight_sources["CLIP image tower"] = "laion_aesthetic_s13b_b82k"
    require_weights(cfg, model)


@pytest.mark.parametrize(
    ("system", "changes", "key"),
    [
        ("DeOP", [], "MODEL.PROPOSALS.WEIGHTS is empty.*proposal network"),
        ("DeOPProposals", [], "MODEL.PROMPT.WEIGHTS is empty.*learned prompt"),
        ("DeOPProposals", ["MODEL.PROPOSALS.CLASS_AGNOSTIC", True, "DATASETS.TEST", ()], None),
    ],
)
def test_training_refuses_random_parts_that_it_would_not_change(tiny_cfg, system, changes, key):
    from errseg.modeling.weights import require_weights

    tiny_cfg.merge_from_list([*TINY_SYSTEMS["DeOP"], "MODEL.META_ARCHITECTURE", system, *changes])
    model = errseg.build_model(tiny_cfg)
    require_weights(tiny_cfg, model)  # random weights were asked for
    tiny_cfg.MODEL.CLIP.PRETRAINED = "openai"
    for part in model.weight_sources:
        model.weight_sources[part] = "openai" if part.startswith("CLIP") else model.weight_sources[part]
    if key is None:
        return require_weights(tiny_cfg, model)
    with pytest.raises(UsageError, match=key):
        require_weights(tiny_cfg, model)


def test_forgetting_resume_keeps_the_earlier_run_until_the_first_checkpoint(cfg, trained, tmp_path, caplog):
    output = tmp_path / "output"
    whole, scores = losses(cfg), records(cfg)
    (output / "last_checkpoint").write_text("model_0000003.pth")

    class Killed(Exception):
        pass

    def die(*_, **__):
        raise Killed

    trainer = Trainer(cfg)
    trainer.resume_or_load(False)
    assert "holds an earlier run" in caplog.text and "--resume" in caplog.text
    trainer.checkpointer.save = die
    with pytest.raises(Killed):
        trainer.train()
    assert records(cfg) == scores and (output / "last_checkpoint").read_text() == "model_0000003.pth"
    train(cfg, resume=True)
    assert losses(cfg) == whole and not [path for path in output.glob("metrics.json.*")]

    before = records(cfg)
    cfg.SEED = 8
    train(cfg)
    assert [i for i, _ in losses(cfg)] == list(range(6)) and losses(cfg) != whole
    kept = [json.loads(line) for line in (output / "metrics.json.before").read_text().splitlines()]
    assert kept == before and sorted(path.name for path in output.glob("metrics.json.*")) == ["metrics.json.before"]


def test_a_kill_between_the_first_checkpoint_and_its_records_is_made_up_for(cfg, trained, tmp_path):
    cfg.SEED = 8
    torch.manual_seed(0)
    trainer = Trainer(cfg)
    trainer.resume_or_load(False)

    def die():
        raise KeyboardInterrupt

    trainer.records.settle = die
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    resumed = losses(train(cfg, resume=True).cfg)
    cfg.OUTPUT_DIR = str(tmp_path / "whole")
    train(cfg)
    assert resumed == losses(cfg)


@pytest.mark.parametrize("final", [False, True])
def test_a_resume_makes_up_for_a_missing_evaluation(cfg, tmp_path, monkeypatch, final):
    monkeypatch.setattr(Trainer, "test", lambda *_: {"a_set": {"mIoU": 12.5}})
    cfg.TEST.EVAL_PERIOD = 2
    train(cfg)
    whole = [(r["iteration"], r.get("total_loss"), r.get("a_set/mIoU")) for r in records(cfg)]
    metrics = tmp_path / "output/metrics.json"
    cut = 6 if final else 3  # before the evaluation that follows the checkpoint of iteration 3 or 5
    lines = [line for line in metrics.read_text().splitlines(keepends=True) if json.loads(line)["iteration"] <= cut]
    metrics.write_text("".join(lines[:-1]))
    (tmp_path / "output/last_checkpoint").write_text("model_final.pth" if final else "model_0000003.pth")
    train(cfg, resume=True)
    assert [(r["iteration"], r.get("total_loss"), r.get("a_set/mIoU")) for r in records(cfg)] == whole
    assert [i for i, _, score in whole if score] == [1, 3, 6]


def test_a_resume_goes_on_by_images_seen(cfg, trained, tmp_path, monkeypatch):
    (tmp_path / "output/last_checkpoint").write_text("model_0000003.pth")
    starts = []
    build = Trainer.build_train_loader.__func__

    def seen(cls, *args, **keywords):
        starts.append(keywords["start_image"])
        return build(cls, *args, **keywords)

    monkeypatch.setattr(Trainer, "build_train_loader", classmethod(seen))
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.IMS_PER_BATCH = 6, 2
    train(cfg, resume=True)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.ACCUMULATION_STEPS = 7, 2
    train(cfg, resume=True)
    assert starts == [16, 20]


def test_changed_keys_are_listed_and_take_effect(cfg, trained, caplog):
    (first := Trainer(cfg)).resume_or_load(True)
    assert "differ from those of the run" not in caplog.text
    cfg.merge_from_list(
        ["SOLVER.MAX_ITER", 12, "SOLVER.BASE_LR", 0.02, "SOLVER.WEIGHT_DECAY", 0.5, "TEST.EVAL_PERIOD", 9]
    )
    (trainer := Trainer(cfg)).resume_or_load(True)
    for line in (
        "4 configuration keys differ from those of the run until iteration 5:",
        "SOLVER.BASE_LR was 0.01, now 0.02: takes effect",
        "SOLVER.MAX_ITER was 6, now 12: takes effect: the run ends there",
        "SOLVER.WEIGHT_DECAY was 0.0001, now 0.5: takes effect",
        "TEST.EVAL_PERIOD was 0, now 9: takes effect",
    ):
        assert line in caplog.text
    new, old = trainer.optimizer, first.optimizer
    assert max(group["initial_lr"] for group in new.param_groups) == 0.02
    assert max(group["weight_decay"] for group in new.param_groups) == 0.5
    expected = Trainer(cfg)
    for _ in range(6):
        expected.scheduler.step()
    rates = [group["lr"] for group in expected.optimizer.param_groups]
    assert [group["lr"] for group in new.param_groups] == pytest.approx(rates) and rates[0] > 0
    assert len(old.state) == len(new.state) > 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["SOLVER.OPTIMIZER", "SGD"], "SOLVER.OPTIMIZER was 'AdamW', now 'SGD', but the checkpoint has the other"),
        (["MODEL.CLIP.FINETUNE_TEXT", False], "MODEL.CLIP.FINETUNE_TEXT was True, now False, but the checkpoint has"),
        (["SOLVER.MAX_ITER", 3], "SOLVER.MAX_ITER is 3, but the run has 6 iterations; raise it"),
    ],
)
def test_a_resume_that_cannot_be_is_refused(cfg, trained, changed, message):
    cfg.merge_from_list(changed)
    with pytest.raises(UsageError, match=message):
        Trainer(cfg).resume_or_load(True)


def test_a_resume_from_a_checkpoint_of_before_goes_on(cfg, trained, tmp_path):
    whole, path = losses(cfg), tmp_path / "output/model_0000003.pth"
    content = torch.load(path, weights_only=True)
    for key in ("run", "images_seen", "config"):
        del content["trainer"][key]
    torch.save(content, path)
    (tmp_path / "output/last_checkpoint").write_text(path.name)
    train(cfg, resume=True)
    assert losses(cfg) == whole


@pytest.mark.parametrize("content", [None, "model_0000099.pth"])
def test_a_resume_without_a_usable_last_checkpoint_is_refused(cfg, trained, tmp_path, content):
    (tmp_path / "output/last_checkpoint").unlink()
    if content:
        (tmp_path / "output/last_checkpoint").write_text(content)
    with pytest.raises(UsageError, match="last_checkpoint .*write the name of a checkpoint into it, such as model_"):
        Trainer(cfg).resume_or_load(True)


def test_a_folder_that_vanishes_ends_training_with_a_sentence(cfg, caplog):
    cfg.DATASETS.TEST = ()
    trainer = Trainer(cfg)
    trainer.resume_or_load(False)
    step = trainer._trainer.run_step

    def run_step(*arguments):
        if trainer.iter == 2:
            shutil.rmtree(cfg.OUTPUT_DIR)
        step(*arguments)

    trainer._trainer.run_step = run_step
    with pytest.raises(UsageError, match="metrics.json cannot be written, since its folder does not exist any more"):
        trainer.train()
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("failing", ["checkpoint", "metrics"])
def test_a_full_disk_ends_training_and_leaves_the_last_checkpoint(cfg, trained, tmp_path, monkeypatch, failing):
    before = {path.name: path.read_bytes() for path in (tmp_path / "output").glob("*.pth")}
    cfg.SOLVER.MAX_ITER = 12
    trainer = Trainer(cfg)
    trainer.resume_or_load(True)
    small = 30_000 if failing == "checkpoint" else (tmp_path / "output/metrics.json").stat().st_size + 10
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr("errseg.engine.trainer.Trainer.build_writers", lambda self: [])
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (small, limit[1])
    )  # a file cannot grow beyond: as a full disk, errno apart
    try:
        with pytest.raises(UsageError, match=r"(model_0000007.pth|metrics.json|output) cannot be written, since"):
            trainer.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    left = {path.name: path.read_bytes() for path in (tmp_path / "output").glob("*.pth*")}
    assert left == before and (tmp_path / "output/last_checkpoint").read_text() == "model_final.pth"
    train(cfg, resume=True)
    assert [iteration for iteration, _ in losses(cfg)] == list(range(12))


def test_a_folder_that_is_a_file_is_a_sentence(cfg, tmp_path):
    (tmp_path / "output").write_text("")
    with pytest.raises(UsageError, match="output cannot be written, since a file is in the place of a folder"):
        Trainer(cfg)
