"""The mini CLIP: its model, its training data, a pretraining of seconds, and what ERR-Seg makes of it."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

import errseg
from errseg.config import load_config
from errseg.mini import CLIP_CONFIGS, DATASET_NAMES, register_mini, world
from errseg.mini.crops import CropSampler, caption_words, load_scenes, phrase, to_input
from errseg.mini.embeddings import dense_embeddings, image_embeddings
from errseg.mini.generate import generate
from errseg.mini.pretrain import (
    Phase,
    multi_positive_loss,
    region_loss,
    text_embeddings,
    train_contrastive,
    train_dense,
)
from errseg.mini.pretraining import RECIPES
from errseg.mini.probe import crop_accuracy, region_accuracy, selection_recall
from errseg.modeling.clip.build import build_clip
from errseg.modeling.clip.prompts import tokenizer_of
from errseg.modeling.deop.image_tower import SeveredViTCLIP

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("datasets")
    generate(path, {"train": 8, "seen": 2, "unseen": 2, "large": 2}, workers=1)
    return path


@pytest.fixture(params=CLIP_CONFIGS)
def tower(request) -> str:
    return request.param


@pytest.fixture()
def clip(tower) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_clip(str(CLIP_CONFIGS[tower]))


@pytest.fixture()
def tokenizer(tower):
    return tokenizer_of(str(CLIP_CONFIGS[tower]))


def test_every_prompt_fits_the_context(tokenizer):
    tokens = tokenizer([f"A photo of a {name} in the scene" for name in world.VOCABULARIES["large"]])
    assert bool((tokens == 49407).any(dim=1).all())  # the end of the text was not cut off
    assert len(torch.unique(tokens, dim=0)) == len(tokens)


def test_captions_hold_seen_names_only():
    rng = random.Random(0)
    captions = {phrase(name, caption_words(name, rng)) for name in world.SEEN for _ in range(40)}
    assert not captions & set(world.HELD_OUT)
    assert set(world.SEEN) <= captions
    assert {"red bar", "striped ring", "blue dotted shape", "cross"} <= captions


def test_crops_show_what_they_are_called(root):
    scenes = load_scenes(root, "train")
    sampler, rng = CropSampler(scenes), random.Random(0)
    assert {scenes.names[instance.label] for instance in sampler.objects} <= set(world.SEEN)
    names = set()
    for _ in range(60):
        crop, name = sampler(rng)
        assert crop.shape == (64, 64, 3) and crop.dtype == np.uint8
        names.add(name)
    assert names & set(world.GROUNDS) and names & set(world.SEEN)


def test_multi_positive_loss():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    positive = torch.tensor([[True, False, False], [False, True, True]])
    rows = torch.log_softmax(logits, dim=1)
    expected = -(rows[0, 0] + (rows[1, 1] + rows[1, 2]) / 2) / 2
    torch.testing.assert_close(multi_positive_loss(logits, positive), expected)


@pytest.mark.parametrize("tower", ["convnext"], indirect=True)
def test_dense_embeddings_are_those_of_errseg(clip, tmp_path):
    torch.save(clip.state_dict(), tmp_path / "clip.pt")
    cfg = errseg.get_cfg()
    cfg.MODEL.DEVICE, cfg.MODEL.ESCF.DIM = "cpu", 16
    cfg.MODEL.CLIP.NAME, cfg.MODEL.CLIP.PRETRAINED = str(CLIP_CONFIGS["convnext"]), str(tmp_path / "clip.pt")
    encoder = errseg.build_model(cfg).backbone.eval()
    images = to_input([np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)])
    with torch.no_grad():
        features = encoder(images)
        ours = dense_embeddings(clip.eval(), images)
    for name, dense in zip(("E16", "E32"), ours, strict=True):
        torch.testing.assert_close(torch.nn.functional.normalize(features[name], dim=1), dense, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tower", ["vit"], indirect=True)
def test_the_dense_embedding_of_a_vit_is_deops_without_positions(clip, tmp_path):
    torch.save(clip.state_dict(), tmp_path / "clip.pt")
    cfg = load_config(str(ROOT / "configs/mini/deop_mini.yaml"), ["MODEL.CLIP.PRETRAINED", str(tmp_path / "clip.pt")])
    cfg.merge_from_list(["MODEL.PROMPT.WEIGHTS", "", "MODEL.PROPOSALS.WEIGHTS", ""])
    cfg.merge_from_list(["MODEL.PATCH_SEVERANCE.MODE", "plain", "MODEL.POSITIONS.ENABLED", False])
    encoder = errseg.build_model(cfg).backbone.eval()
    images = to_input([np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)])
    with torch.no_grad():
        [dense] = dense_embeddings(clip.eval(), images)
        torch.testing.assert_close(encoder(images, torch.zeros(1, 2, 16, 24)), dense, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tower", ["vit"], indirect=True)
def test_a_vit_embeds_images_of_any_size(clip):
    """At the size of its positions as open_clip does, at another as DeOP's tower does."""
    clip.eval()
    whole, crop = (to_input([np.random.default_rng(0).integers(0, 256, (n, n, 3), dtype=np.uint8)]) for n in (160, 64))
    with torch.no_grad():
        torch.testing.assert_close(image_embeddings(clip, whole), clip.encode_image(whole, normalize=True))
        expected = SeveredViTCLIP(clip=clip, mode="none", blocks=(), grid=None).eval().class_embedding(crop)
        torch.testing.assert_close(image_embeddings(clip, crop), expected, rtol=1e-4, atol=1e-5)


def test_regions_are_classified_by_their_mean_embedding():
    """The left and the right half of the first image, and all of the second, have the names 1, 0 and 2."""
    labels = torch.tensor([[[1, 0], [1, 0]], [[2, 2], [2, 2]]])
    dense = torch.eye(4)[torch.tensor([[[1, 0], [1, 3]], [[2, 2], [2, 2]]])].movedim(-1, 1)
    means = torch.stack([torch.eye(4)[[0, 3]].mean(0) * 2**0.5, torch.eye(4)[1], torch.eye(4)[2]])
    expected = torch.nn.functional.cross_entropy(means @ (10 * torch.eye(4)), torch.tensor([0, 1, 2]))
    torch.testing.assert_close(region_loss(dense, 10 * torch.eye(4), labels), expected)


def test_both_phases_learn(root, clip, tokenizer, tower):
    scenes, recipe = load_scenes(root, "train"), RECIPES[tower]
    before = text_embeddings(clip, tokenizer, scenes.names).detach()
    train_contrastive(clip, tokenizer, scenes, recipe.contrastive._replace(steps=3, batch=8))
    train_dense(clip, tokenizer, scenes, recipe.dense._replace(steps=3, batch=2), 0, recipe.crops, recipe.regions)
    assert not torch.equal(before, text_embeddings(clip, tokenizer, scenes.names))
    assert all(torch.isfinite(p).all() for p in clip.parameters())
    assert 0 <= crop_accuracy(clip, tokenizer, scenes) <= 100
    assert 0 <= region_accuracy(clip, tokenizer, scenes) <= 100
    assert selection_recall(clip, tokenizer, scenes, len(scenes.names)) == 100


def test_crops_train_the_class_token_of_a_vit(root):
    """The dense embedding alone gives queries and keys of the last block no gradient."""
    config, scenes = str(CLIP_CONFIGS["vit"]), load_scenes(root, "train")
    for crops, changed in ((0, False), (4, True)):
        torch.manual_seed(0)
        clip = build_clip(config)
        train_dense(clip, tokenizer_of(config), scenes, Phase(1, 2, image_lr=1e-3, text_lr=1e-3), crops=crops)
        of_queries, of_keys, of_values = (
            clip.visual.transformer.resblocks[-1].attn.in_proj_weight.grad.norm(dim=1).chunk(3)
        )
        assert bool((of_queries + of_keys).max() > 1e-5 * of_values.max()) == changed


def test_region_accuracy_counts_regions(root, monkeypatch):
    """Where the dense embedding is that of the name at every location, all regions are named right."""
    from errseg.mini import probe

    scenes, text = load_scenes(root, "large"), torch.eye(800)
    monkeypatch.setattr(probe, "text_embeddings", lambda clip, tokenizer, names: text)
    labels = torch.from_numpy(scenes.labels.astype("int64"))
    monkeypatch.setattr(probe, "dense_embeddings", lambda clip, images: (text[labels].permute(0, 3, 1, 2),))
    assert region_accuracy(torch.nn.Identity(), None, scenes) == 100
    monkeypatch.setattr(probe, "dense_embeddings", lambda clip, images: (text[labels * 0].permute(0, 3, 1, 2),))
    assert region_accuracy(torch.nn.Identity(), None, scenes) < 30


def test_the_command_writes_weights_that_errseg_loads(root, tmp_path, tower, command, caplog):
    output = tmp_path / "new" / "clip.pt"
    quick = ("--contrastive-steps", 1, "--dense-steps", 1, "--probe-scenes", 1)
    with caplog.at_level("INFO", logger="errseg"):
        status, out, errors = command("mini", "pretrain", "--data", root, "--out", output, "--tower", tower, *quick)
    assert status == 0, errors
    said = out + errors + caplog.text  # a logger is set up once a process, and put back after each test
    assert "of the true regions named right" in said and ("CRM's recall" in said) == (tower == "convnext")
    assert [path.name for path in output.parent.iterdir()] == ["clip.pt"]
    build_clip(str(CLIP_CONFIGS[tower])).load_state_dict(torch.load(output, weights_only=True))


def test_the_command_names_missing_scenes(tmp_path, command):
    status, _, errors = command("mini", "pretrain", "--data", tmp_path)
    assert status == 2 and "errseg mini draw" in errors and errors.count("\n") == 1


def test_registration(root):
    from detectron2.data import DatasetCatalog, MetadataCatalog

    register_mini(root)
    try:
        for split, name in DATASET_NAMES.items():
            metadata = MetadataCatalog.get(name)
            assert tuple(metadata.stuff_classes) == world.VOCABULARIES[split]
            assert metadata.evaluator_type == "sem_seg"
            assert metadata.ignore_label not in range(len(metadata.stuff_classes))
            assert 0 < metadata.num_classes_test < len(metadata.stuff_classes)
            for record in DatasetCatalog.get(name):
                assert Path(record["file_name"]).is_file() and Path(record["sem_seg_file_name"]).is_file()
    finally:
        register_mini()
