"""Stage 2: training, resuming and predicting with a tiny model; with and without names."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from errseg.config import get_cfg, load_config
from errseg.data import register_dataset_files
from errseg.engine import Trainer, build_optimizer
from errseg.errors import UsageError
from errseg.modeling import build_model, system_of

NAMES = ["cat", "dog, hound", "grass"]
TINY_CLIP = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 40, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
CONFIG = """\
MODEL:
  META_ARCHITECTURE: DeOPProposals
  DEVICE: cpu
  CLIP: {{NAME: {root}/clip.json}}
  PROMPT: {{LEARNED: true, LENGTH: 4, SYNONYMS: whole}}
  PROPOSALS: {{BACKBONE: ResNet18cHalf, NUM_QUERIES: 6, DIM: 32, NUM_HEADS: 4, FFN_DIM: 32, NUM_LAYERS: 2}}
DATASETS: {{TRAIN: ["{root}/data.yaml"], TEST: []}}
INPUT:
  MIN_SIZE_TRAIN: [64]
  MIN_SIZE_TEST: 0
  RESOLUTION_TEST: 64
  SIZE_DIVISIBILITY: 64
  CROP: {{ENABLED: true, TYPE: absolute, SIZE: [64, 64]}}
SOLVER:
  {{MAX_ITER: 4, CHECKPOINT_PERIOD: 2, IMS_PER_BATCH: 2, BASE_LR: 0.001, WARMUP_ITERS: 0,
    LR_SCHEDULER_NAME: WarmupPolyLR}}
DATALOADER: {{NUM_WORKERS: 0}}
SEED: 7
OUTPUT_DIR: {root}/run
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A configuration file and a data set of three images."""
    root, random = tmp_path_factory.mktemp("stage2"), np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder).mkdir()
    for number in range(3):
        label = np.kron(random.integers(0, len(NAMES), (3, 4)), np.ones((16, 16), int)).astype(np.uint8)
        image = (label[..., None] * np.array([60, 30, 50]) + random.integers(0, 30, (48, 64, 3))).astype(np.uint8)
        Image.fromarray(image).save(root / f"images/{number}.png")
        Image.fromarray(label).save(root / f"labels/{number}.png")
    (root / "clip.json").write_text(json.dumps(TINY_CLIP))
    (root / "data.yaml").write_text(json.dumps({"images": "images", "labels": "labels", "names": NAMES}))
    (root / "stage2.yaml").write_text(CONFIG.format(root=root))
    register_dataset_files([str(root / "data.yaml")])
    return root


def config(root, *changes):
    return load_config(str(root / "stage2.yaml"), list(changes))


def build(root, *changes):
    torch.manual_seed(0)
    model = build_model(config(root, *changes))
    model.set_vocabulary(NAMES)
    return model


def batch(sizes=((64, 64), (64, 64))):
    generator = torch.Generator().manual_seed(0)
    inputs = []
    for height, width in sizes:
        labels = torch.randint(0, len(NAMES), (height, width), generator=generator)
        labels[:4] = 255
        image = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
        inputs.append({"image": image, "sem_seg": labels, "file_name": "made up"})
    return inputs


def losses_of(root, *changes, resume=False):
    """Train, and return the losses of each iteration."""
    cfg = config(root, *changes)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume)
    start = trainer.start_iter
    trainer.train()
    with open(f"{cfg.OUTPUT_DIR}/metrics.json") as file:
        records = [json.loads(line) for line in file]
    names = [name for name in records[0] if "loss" in name]
    return start, {record["iteration"]: [record[name] for name in names] for record in records}


def test_two_steps_and_an_exact_resume(root):
    start, losses = losses_of(root)
    assert start == 0 and list(losses) == [0, 1, 2, 3] and np.isfinite(list(losses.values())).all()
    assert len(losses[0]) == 1 + 3 * 2  # the total; three losses in each of two layers
    (root / "run/last_checkpoint").write_text("model_0000001.pth")
    assert losses_of(root, resume=True) == (2, losses)


def test_the_losses_and_their_sum(root):
    losses = build(root).train()(batch())
    assert set(losses) == {f"loss_{name}{layer}" for name in ("ce", "mask", "dice") for layer in ("", "_0")}
    assert all(value.ndim == 0 and value.isfinite() and value > 0 for value in losses.values())


@pytest.mark.parametrize("size", ((64, 64), (50, 70)))
def test_every_trained_parameter_has_a_gradient_and_the_others_are_frozen(root, size):
    model = build(root).train()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter += 0.1 * torch.randn_like(parameter)
    sum(model(batch([size, size])).values()).backward()
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert all(name.startswith(("backbone.", "prompt.")) for name in frozen) and "prompt.prefix" in frozen
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            zero = name.endswith("decoder.layers.0.self_attn.in_proj_weight")  # its input is zero
            assert parameter.grad is not None and (parameter.grad.abs().sum() > 0 or zero), name
    assert model.classifier.no_object.grad.abs().sum() > 0


def test_padding_in_training_is_ignored(root):
    """An image whose sides are no multiples of 32 has the losses of its padded self, whose padding is ignored."""
    model = build(root, "MODEL.PROPOSALS.DROPOUT", 0.0).train()
    (small,) = batch([(50, 70)])
    large = {"image": torch.empty(3, 64, 96), "sem_seg": torch.full((64, 96), 255)}
    large["image"][:] = model.pixel_mean  # 0 after normalisation
    large["image"][:, :50, :70], large["sem_seg"][:50, :70] = small["image"], small["sem_seg"]
    for one, other in zip(model([small]).values(), model([large]).values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_learning_rates_and_weight_decays(root):
    cfg = config(root, "SOLVER.WEIGHT_DECAY", 0.5, "SOLVER.BACKBONE_MULTIPLIER", 0.25)
    model = build_model(cfg)
    settings = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in build_optimizer(cfg, model).param_groups
        for parameter in group["params"]
    }
    parameters = dict(model.named_parameters())
    assert set(settings) == {id(parameter) for parameter in parameters.values() if parameter.requires_grad}
    for name, expected in {
        "proposals.backbone.stem.conv1.weight": (0.00025, 0.5),
        "proposals.predictor.input_proj.weight": (0.001, 0.5),
        "proposals.predictor.query_embed.weight": (0.001, 0.0),
        "proposals.predictor.transformer.decoder.norm.weight": (0.001, 0.0),
        "proposals.predictor.class_embed.layers.0.bias": (0.001, 0.5),
        "classifier.no_object": (0.001, 0.5),
    }.items():
        assert settings[id(parameters[name])] == pytest.approx(expected), name


def test_segmentation_is_section_6(root):
    model = build(root).eval()
    (inputs,) = batch([(64, 96)])
    with torch.no_grad():
        image = model.preprocess(inputs["image"], (64, 96))
        found = model.proposals(image)
        queries = torch.nn.functional.normalize(model.proposals.predictor.class_embed(found.queries), dim=-1)
        rows = torch.cat([model.encode(model.vocabulary).text, model.classifier.no_object])
        shares = (100 * queries @ torch.nn.functional.normalize(rows, dim=-1).T).softmax(-1)[0, :, :-1]
        maps = torch.nn.functional.interpolate(found.masks, size=(64, 96), mode="bilinear").sigmoid()[0]
        factors = model.segment(image, model.encoded().text, 0, show=True)
        prediction = factors.dense()
    expected = torch.einsum("nt,nhw->thw", shares, maps)
    torch.testing.assert_close(prediction.scores[0], expected, rtol=1e-4, atol=1e-5)
    assert prediction.shown["masks"].shape == (1, 6, 64, 96) and prediction.shown["classes"].shape == (1, 6, 4)
    assert (prediction.scores <= prediction.total).all()


def test_a_batch_predicts_what_single_images_do(root):
    model = build(root).eval()
    inputs = batch([(50, 70), (64, 64)])
    with torch.no_grad():
        together = model(inputs)
        alone = [model([each])[0] for each in inputs]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one["sem_seg"], other["sem_seg"], rtol=1e-4, atol=1e-5)


# ---- the stage before ----


def save(path, model, prefix=""):
    weights = {key: value for key, value in model.state_dict().items() if key.startswith(prefix)}
    torch.save({"model": weights}, path)
    return str(path)


def test_the_prompt_of_stage_1(root, tmp_path, caplog):
    first = build(root)
    path = save(tmp_path / "prompt.pth", first, "prompt.")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = build_model(config(root, "MODEL.PROMPT.WEIGHTS", path))
    assert torch.equal(model.prompt.prefix, first.prompt.prefix) and not model.prompt.prefix.requires_grad
    assert model.weight_sources["learned prompt"] == path
    assert model.weight_sources["no-object embedding"] == "random"
    whole = save(tmp_path / "whole.pth", first)
    build_model(config(root, "MODEL.PROMPT.WEIGHTS", "nowhere.pth", "MODEL.WEIGHTS", whole))  # not needed any more


def test_imagenet_weights_of_the_backbone(root, tmp_path):
    first = build(root).proposals.backbone
    path = save(tmp_path / "resnet.pth", first)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = build_model(config(root, "MODEL.PROPOSALS.BACKBONE_WEIGHTS", path))
    own, given = model.proposals.backbone.state_dict(), first.state_dict()
    assert all(torch.equal(own[name], value) for name, value in given.items())
    assert model.weight_sources["proposal backbone"] == path and model.weight_sources["proposal decoders"] == "random"
    with pytest.raises(UsageError, match="MODEL.PROPOSALS.BACKBONE_WEIGHTS = .*does not fit"):
        build(root, "MODEL.PROPOSALS.BACKBONE", "ResNet50", "MODEL.PROPOSALS.BACKBONE_WEIGHTS", path)
    changes = ("MODEL.PROPOSALS.BACKBONE_WEIGHTS", "nowhere.pth")
    build_model(config(root, *changes, "MODEL.WEIGHTS", "whole.pth"))  # not needed before a whole checkpoint


def test_a_prompt_that_does_not_fit_is_one_sentence(root, tmp_path):
    model = build(root)
    path = save(tmp_path / "prompt.pth", model, "prompt.")
    for changes, message in (
        (["MODEL.PROMPT.WEIGHTS", "nowhere.pth"], "MODEL.PROMPT.WEIGHTS = 'nowhere.pth': there is no such file"),
        (["MODEL.PROMPT.WEIGHTS", path, "MODEL.PROMPT.LENGTH", 5], "MODEL.PROMPT.WEIGHTS = .* of another shape"),
        (
            ["MODEL.PROMPT.WEIGHTS", save(tmp_path / "no.pth", model, "classifier.")],
            r"MODEL.PROMPT.WEIGHTS = .* holds no weights 'prompt\.\*'",
        ),
    ):
        with pytest.raises(UsageError, match=message):
            build(root, *changes)


# ---- without names ----

AGNOSTIC = ("MODEL.PROPOSALS.CLASS_AGNOSTIC", True)


def test_masks_without_names_train_and_resume(root, tmp_path):
    changes = (*AGNOSTIC, "OUTPUT_DIR", str(tmp_path))
    start, losses = losses_of(root, *changes)
    assert start == 0 and len(losses) == 4 and len(losses[0]) == 1 + 2 * 2
    (tmp_path / "last_checkpoint").write_text("model_0000001.pth")
    assert losses_of(root, *changes, resume=True) == (2, losses)


def test_masks_without_names_train_all_but_the_classes(root):
    model, named = build(root, *AGNOSTIC).train(), build(root).train()
    losses = model(batch())
    assert set(losses) == {"loss_mask", "loss_dice", "loss_mask_0", "loss_dice_0"}
    sum(losses.values()).backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    left = {name for name, parameter in named.named_parameters() if parameter.requires_grad} - trained
    assert left and all(name.startswith(("classifier.", "proposals.predictor.class_embed.")) for name in left)
    assert all(dict(model.named_parameters())[name].grad is not None for name in trained)
    assert model.state_dict().keys() == named.state_dict().keys()


def test_masks_without_names_do_not_segment(root):
    with pytest.raises(UsageError, match="masks without names .*, so it cannot segment; .* MODEL.PROPOSALS.WEIGHTS"):
        build(root, *AGNOSTIC).eval()(batch())
    with pytest.raises(UsageError, match="DATASETS.TEST = .*data.yaml.*set DATASETS.TEST to \\(\\)"):
        build(root, *AGNOSTIC, "DATASETS.TEST", (str(root / "data.yaml"),))


def test_the_recipe():
    cfg = get_cfg()
    cfg.merge_from_file(str(Path(__file__).parents[3] / "configs/deop/stage2_proposals.yaml"))
    assert system_of(cfg).learning_rates(cfg) == {"proposals.backbone.": 0.1}
    solver, proposals, crop = cfg.SOLVER, cfg.MODEL.PROPOSALS, cfg.INPUT.CROP
    assert (solver.OPTIMIZER, solver.BASE_LR, solver.WEIGHT_DECAY) == ("AdamW", 1e-4, 1e-4)
    assert (solver.WEIGHT_DECAY_NORM, solver.WEIGHT_DECAY_EMBED, solver.WARMUP_ITERS) == (0, 0, 0)
    assert (solver.LR_SCHEDULER_NAME, solver.POLY_LR_POWER) == ("WarmupPolyLR", 0.9)
    assert (solver.IMS_PER_BATCH, solver.MAX_ITER, solver.AMP.ENABLED) == (32, 60000, False)
    clip = solver.CLIP_GRADIENTS
    assert (clip.ENABLED, clip.CLIP_TYPE, clip.CLIP_VALUE, clip.NORM_TYPE) == (True, "full_model", 0.01, 2)
    assert list(cfg.INPUT.MIN_SIZE_TRAIN) == list(range(320, 961, 64)) and cfg.INPUT.SIZE_DIVISIBILITY == 640
    assert (crop.ENABLED, tuple(crop.SIZE), cfg.INPUT.COLOR_AUG_SSD) == (True, (640, 640), True)
    assert (proposals.FOCAL_WEIGHT, proposals.DICE_WEIGHT, proposals.NO_OBJECT_WEIGHT) == (20, 1, 0.1)
    assert (proposals.BACKBONE, proposals.NUM_QUERIES, proposals.NUM_LAYERS) == ("ResNet101c", 100, 6)


def test_the_last_stage_starts_from_stage_2(root, tmp_path):
    stage2 = build(root)
    path = save(tmp_path / "stage2.pth", stage2)
    last = ("MODEL.META_ARCHITECTURE", "DeOP", "MODEL.BACKBONE.NAME", "SeveredViTCLIP")
    blocks = ("MODEL.PATCH_SEVERANCE.BLOCKS", [1], "MODEL.POSITIONS.BLOCKS", [1])
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = build_model(config(root, *last, *blocks, "MODEL.PROPOSALS.WEIGHTS", path, "MODEL.PROMPT.WEIGHTS", path))
    own = model.state_dict()
    started = {name: value for name, value in stage2.state_dict().items() if not name.startswith("backbone.")}
    assert started and all(torch.equal(own[name], value) for name, value in started.items())
    assert {model.weight_sources[part] for part in ("proposal network", "learned prompt", "no-object embedding")} == {
        path
    }
    assert model.weight_sources["anchors"] == "random" and model.prompt.prefix.requires_grad
