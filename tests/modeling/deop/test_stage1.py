"""Stage 1: training, resuming and evaluating the learned prompt with a tiny model."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import errseg
from errseg.config import get_cfg, load_config
from errseg.data import register_dataset_files
from errseg.engine import Trainer, build_optimizer
from errseg.engine.schedule import build_lr_scheduler
from errseg.errors import UsageError
from errseg.modeling import build_model, system_of

NAMES = ["cat", "dog, hound", "grass"]
ROOT = Path(__file__).parents[3]
CONFIG = """\
_BASE_: {root}/configs/deop/stage1_prompt.yaml
MODEL:
  DEVICE: cpu
  CLIP: {{NAME: {root}/tests/data/tiny_vit.json, PRETRAINED: ""}}
  PROMPT: {{LENGTH: 4}}
DATASETS: {{TRAIN: ["{data}"], TEST: ["{data}"], REGIONS_PER_CLASS: 2}}
INPUT: {{RESOLUTION_TRAIN: 64, RESOLUTION_TEST: 64}}
SOLVER: {{MAX_ITER: 4, CHECKPOINT_PERIOD: 2, IMS_PER_BATCH: 2, WARMUP_ITERS: 0}}
DATALOADER: {{NUM_WORKERS: 0}}
TEST: {{IMS_PER_BATCH: 2, EVAL_PERIOD: 0}}
SEED: 7
OUTPUT_DIR: {folder}/run
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A configuration file and a data set of three images."""
    folder, random = tmp_path_factory.mktemp("stage1"), np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for number in range(3):
        label = np.kron(random.integers(0, len(NAMES), (3, 4)), np.ones((16, 16), int)).astype(np.uint8)
        image = (label[..., None] * np.array([60, 30, 50]) + random.integers(0, 30, (48, 64, 3))).astype(np.uint8)
        Image.fromarray(image).save(folder / f"images/{number}.png")
        Image.fromarray(label).save(folder / f"labels/{number}.png")
    data = folder / "data.yaml"
    data.write_text(json.dumps({"images": "images", "labels": "labels", "names": NAMES}))
    (folder / "stage1.yaml").write_text(CONFIG.format(root=ROOT, data=data, folder=folder))
    register_dataset_files([str(data)])
    return folder


def config(folder, *changes):
    return load_config(str(folder / "stage1.yaml"), list(changes))


def build(folder, *changes):
    torch.manual_seed(0)
    model = build_model(config(folder, *changes))
    model.set_vocabulary(NAMES)
    return model


def batch(count=3, side=64):
    generator = torch.Generator().manual_seed(0)
    inputs = []
    for i in range(count):
        image = torch.randint(0, 256, (3, side, side), generator=generator, dtype=torch.uint8)
        mask = torch.rand(side, side, generator=generator) < 0.7
        inputs.append({"image": image, "mask": mask, "class_id": i % len(NAMES), "file_name": f"{i}.jpg"})
    return inputs


# ---- the function ----


@pytest.mark.parametrize("side", (64, 96))
def test_logits_are_clips_own_of_the_masked_crops(folder, side):
    """By open_clip's functions: its image tower, and its text tower on the prompt's tokens and vectors."""
    model, inputs = build(folder).eval(), batch(side=side)
    clip = model.backbone.clip
    images = torch.stack([x["image"] / 255 for x in inputs])
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    masks = torch.stack([x["mask"] for x in inputs]).unsqueeze(1)
    images = torch.where(masks, (images - mean) / std, mean.expand_as(images))
    with torch.no_grad():
        if side == 64:  # CLIP's own size: no position table is resized
            regions = clip.encode_image(images, normalize=True)
        else:
            regions = model.backbone.class_embedding(images)
        found = torch.stack([x["classification"] for x in model(inputs)])
    torch.testing.assert_close(found, 100 * regions @ model.text_embeddings.T, rtol=1e-4, atol=1e-3)
    assert found.shape == (3, 3) and found.std() > 0.1


def test_the_loss_is_the_cross_entropy_of_the_logits(folder):
    model, inputs = build(folder), batch()
    with torch.no_grad():
        logits = torch.stack([x["classification"] for x in model.eval()(inputs)])
    losses = model.train()(inputs)
    expected = -logits.log_softmax(1)[range(3), [0, 1, 2]].mean()
    assert set(losses) == {"loss_ce"}
    torch.testing.assert_close(losses["loss_ce"], expected, rtol=1e-4, atol=1e-5)


def test_what_lies_outside_the_mask_has_no_effect(folder):
    model, inputs = build(folder).eval(), batch()
    other = [{**x, "image": torch.where(x["mask"], x["image"], 255 - x["image"])} for x in inputs]
    same = [{**x, "mask": ~x["mask"]} for x in other]
    with torch.no_grad():
        first, second, third = (torch.stack([x["classification"] for x in model(of)]) for of in (inputs, other, same))
    assert torch.equal(first, second) and not torch.equal(first, third)


def test_the_prompt_alone_has_a_gradient(folder):
    model = build(folder).train()
    model(batch())["loss_ce"].backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["prompt.prefix"]
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["prompt.prefix"]
    assert model.prompt.prefix.shape == (4, 32) and (model.prompt.prefix.grad.abs().sum(1) > 0).all()
    # MODEL.PROMPT.TRAINED is of the last stage
    assert build(folder, "MODEL.PROMPT.TRAINED", False).prompt.prefix.requires_grad


def test_the_names_of_its_weights_are_those_of_the_last_stage(folder, deop):
    own, last = build(folder).state_dict(), deop().state_dict()
    assert all(last[name].shape == value.shape for name, value in own.items())
    assert {name.split(".")[0] for name in own} == {"backbone", "prompt"}


# ---- a run ----


def run(folder, *changes, resume=False):
    """Train; the first iteration, the losses of each iteration, and the records of evaluations."""
    cfg = config(folder, *changes)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume)
    start = trainer.start_iter
    trainer.train()
    with open(f"{cfg.OUTPUT_DIR}/metrics.json") as file:
        records = [json.loads(line) for line in file]
    losses = {record["iteration"]: record["total_loss"] for record in records if "total_loss" in record}
    return start, losses, [record for record in records if "total_loss" not in record]


@pytest.fixture(scope="module")
def trained(folder):
    """What ``run`` returns for a run whose files other tests read."""
    torch.manual_seed(0)
    return run(folder)


def test_two_steps_and_an_exact_resume(folder, trained):
    start, losses, _ = trained
    assert start == 0 and list(losses) == [0, 1, 2, 3] and np.isfinite(list(losses.values())).all()
    (folder / "run/last_checkpoint").write_text("model_0000001.pth")
    assert run(folder, resume=True)[:2] == (2, losses)
    first, last = (
        torch.load(folder / f"run/{name}.pth", weights_only=True)["model"] for name in ("model_0000001", "model_final")
    )
    assert [name for name in first if not torch.equal(first[name], last[name])] == ["prompt.prefix"]


def test_accuracies_are_in_the_records_and_in_the_files(folder, trained):
    (record,), name = trained[2], str(folder / "data.yaml")
    result = json.loads((folder / "run/evaluation.json").read_text())["results"][name]
    for score in ("top1", "top5", "mean_top1", "mean_top5"):
        assert record[f"{name}/{score}"] == record[f"classification/{score}"] == result[score]
    assert 0 <= result["top1"] <= result["top5"] == 100  # of three names
    assert sum(result["regions_of_class"]) == 9 and result["classes"] == NAMES


def test_its_prompt_is_where_the_next_stages_start(folder, trained, deop):
    weights = folder / "run/model_final.pth"
    prefix = torch.load(weights, weights_only=True)["model"]["prompt.prefix"]
    for model in (build(folder, "MODEL.PROMPT.WEIGHTS", str(weights)), deop("MODEL.PROMPT.WEIGHTS", str(weights))):
        assert torch.equal(model.prompt.prefix, prefix)
        assert model.weight_sources["learned prompt"] == str(weights)


def test_a_checkpoint_is_evaluated_by_the_command(folder, trained, command, tmp_path):
    weights = folder / "run/model_final.pth"
    own = ["--config", folder / "stage1.yaml", "--weights", weights, "--dataset", folder / "data.yaml"]
    status, _, errors = command("evaluate", *own, "--out", tmp_path)
    assert status == 0, errors
    ours, of_run = (json.loads((path / "evaluation.json").read_text()) for path in (tmp_path, folder / "run"))
    assert ours["results"] == of_run["results"]
    saving = ["--out", tmp_path, "--save-predictions", tmp_path / "saved"]
    status, _, errors = command("evaluate", *own, *saving)
    assert status == 2 and "DeOP's prompt cannot segment: it classifies crops" in errors.splitlines()[-1]


def test_commands_that_segment_end_in_one_sentence(folder, trained, command):
    model = ["--config", folder / "stage1.yaml", "--weights", folder / "run/model_final.pth"]
    picture = folder / "images/0.png"
    for words in (
        ("predict", picture, *model, "--classes", "cat"),
        ("inspect", picture, *model, "--classes", "cat"),
        ("export", *model, "--classes", "cat, dog"),
        ("benchmark", *model, "--vocabulary", "random:5", "--no-memory"),
    ):
        status, _, errors = command(*words)
        last = errors.splitlines()[-1]
        assert status == 2 and "DeOP's prompt cannot" in last and "MODEL.PROMPT.WEIGHTS" in last, last
    with pytest.raises(UsageError, match="DeOP's prompt cannot segment: .* as MODEL.PROMPT.WEIGHTS.$"):
        errseg.load(config(folder))


def test_templates_can_be_evaluated_but_not_trained(folder, command, tmp_path):
    changes = ("MODEL.PROMPT.LEARNED", False, "MODEL.PROMPT.TEMPLATES", ("a sculpture of a {}.",))
    given = ["--config", folder / "stage1.yaml", "--dataset", folder / "data.yaml", "--out", tmp_path]
    status, _, errors = command("evaluate", *given, "MODEL.WEIGHTS", "", *changes)
    assert status == 0, errors
    (result,) = json.loads((tmp_path / "evaluation.json").read_text())["results"].values()
    assert 0 <= result["top1"] <= 100 and sum(result["regions_of_class"]) == 9
    with pytest.raises(UsageError, match="no trainable parameter; enable .* MODEL.PROMPT.LEARNED"):
        Trainer(config(folder, *changes))


@pytest.mark.parametrize("key", ("MODEL.CLIP.FINETUNE_IMAGE", "MODEL.CLIP.FINETUNE_TEXT"))
def test_clip_is_not_trained(folder, key):
    with pytest.raises(UsageError, match=f"{key} is True, .* the prompt alone; set it to False"):
        build(folder, key, True)


def test_a_side_that_is_no_multiple_of_a_patch_is_refused(folder):
    for key in ("INPUT.RESOLUTION_TRAIN", "INPUT.RESOLUTION_TEST"):
        with pytest.raises(UsageError, match=f"{key} = 230 is no multiple of 16"):
            build(folder, key, 230)


def test_inputs_that_are_no_regions_are_one_sentence(folder):
    model, (inputs,) = build(folder).train(), batch(1)
    for change, message in (
        ({"class_id": 3}, "0.jpg: the class 3 is outside the vocabulary of 3 names"),
        ({"class_id": None}, "0.jpg has no 'class_id' to train on"),
        ({"mask": None}, "0.jpg has no 'mask'; DeOPPrompt takes crops of regions"),
    ):
        changed = {key: value for key, value in {**inputs, **change}.items() if value is not None}
        with pytest.raises(UsageError, match=message):
            model([changed])


def test_half_precision_is_for_the_image_tower(folder):
    model, exact = build(folder, "MODEL.PRECISION", "bfloat16").eval(), build(folder).eval()
    with torch.no_grad():
        found, expected = (torch.stack([x["classification"] for x in each(batch())]) for each in (model, exact))
    assert model.prompt.prefix.dtype == torch.float32 and found.dtype == torch.float32
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=0, atol=2)  # of logits up to 100


def test_the_recipe():
    cfg = get_cfg()
    cfg.merge_from_file(str(ROOT / "configs/deop/stage1_prompt.yaml"))
    solver, inputs = cfg.SOLVER, cfg.INPUT
    assert system_of(cfg).samples == "regions" and cfg.MODEL.PROMPT.LENGTH == 16
    assert (cfg.DATASETS.REGIONS_PER_CLASS, cfg.DATASETS.REGIONS_SEED) == (32, 0)
    assert (inputs.RESOLUTION_TRAIN, inputs.RESOLUTION_TEST, inputs.RANDOM_FLIP) == (224, 224, "horizontal")
    assert (solver.IMS_PER_BATCH, solver.MAX_ITER, solver.AMP.ENABLED) == (32, 16000, False)
    clip = solver.CLIP_GRADIENTS
    assert (clip.ENABLED, clip.CLIP_TYPE, clip.CLIP_VALUE, clip.NORM_TYPE) == (True, "full_model", 0.01, 2)
    mean, std = np.array(cfg.MODEL.PIXEL_MEAN) / 255, np.array(cfg.MODEL.PIXEL_STD) / 255
    np.testing.assert_allclose(mean, [0.48145466, 0.4578275, 0.40821073], rtol=1e-9)
    np.testing.assert_allclose(std, [0.26862954, 0.26130258, 0.27577711], rtol=1e-9)


def test_the_optimizer_and_the_schedule_of_the_recipe(folder):
    cfg = get_cfg()
    cfg.merge_from_file(str(ROOT / "configs/deop/stage1_prompt.yaml"))
    optimizer = build_optimizer(cfg, build(folder))
    assert isinstance(optimizer, torch.optim.SGD) and len(optimizer.param_groups) == 1
    (group,) = optimizer.param_groups
    assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.9, 0.0005, False)
    schedule, rates = build_lr_scheduler(cfg, optimizer), []
    for _ in range(16000):
        rates.append(group["lr"])
        optimizer.step()
        schedule.step()
    assert rates[:100] == pytest.approx([0.02 * 0.005] * 100)
    cosine = [0.01 * (1 + np.cos(np.pi * i / 16000)) for i in range(100, 16000)]
    assert rates[100:] == pytest.approx(cosine, abs=1e-9)
