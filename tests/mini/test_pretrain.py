"""The mini CLIP: its model, its training data, a pretraining of seconds, and what ERR-Seg makes of it."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import errseg
from errseg.mini import CLIP_CONFIG, DATASET_NAMES, register_mini, world
from errseg.mini.crops import CropSampler, caption_words, load_scenes, phrase, to_input
from errseg.mini.generate import generate
from errseg.mini.pretrain import (
    Phase,
    dense_embeddings,
    multi_positive_loss,
    text_embeddings,
    train_contrastive,
    train_dense,
)
from errseg.mini.probe import crop_accuracy, selection_recall
from errseg.modeling.clip.build import build_clip
from errseg.modeling.clip.prompts import tokenizer_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("datasets")
    generate(path, {"train": 8, "seen": 2, "unseen": 2, "large": 2}, workers=1)
    return path


@pytest.fixture()
def clip() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_clip(str(CLIP_CONFIG))


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizer_of(str(CLIP_CONFIG))


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


def test_dense_embeddings_are_those_of_errseg(clip, tmp_path):
    torch.save(clip.state_dict(), tmp_path / "clip.pt")
    cfg = errseg.get_cfg()
    cfg.MODEL.DEVICE, cfg.MODEL.ESCF.DIM = "cpu", 16
    cfg.MODEL.CLIP.NAME, cfg.MODEL.CLIP.PRETRAINED = str(CLIP_CONFIG), str(tmp_path / "clip.pt")
    encoder = errseg.build_model(cfg).backbone.eval()
    images = to_input([np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)])
    with torch.no_grad():
        features = encoder(images)
        ours = dense_embeddings(clip.eval(), images)
    for name, dense in zip(("E16", "E32"), ours, strict=True):
        torch.testing.assert_close(torch.nn.functional.normalize(features[name], dim=1), dense, rtol=1e-4, atol=1e-5)


def test_both_phases_learn(root, clip, tokenizer):
    scenes = load_scenes(root, "train")
    before = text_embeddings(clip, tokenizer, scenes.names).detach()
    train_contrastive(clip, tokenizer, scenes, Phase(3, 8, image_lr=1e-3, text_lr=1e-3))
    train_dense(clip, tokenizer, scenes, Phase(3, 2, image_lr=1e-3, text_lr=1e-3))
    assert not torch.equal(before, text_embeddings(clip, tokenizer, scenes.names))
    assert all(torch.isfinite(p).all() for p in clip.parameters())
    assert 0 <= crop_accuracy(clip, tokenizer, scenes) <= 100
    assert selection_recall(clip, tokenizer, scenes, len(scenes.names)) == 100


def pretrain_clip(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "tools/pretrain_clip.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_tool_writes_weights_that_errseg_loads(root, tmp_path):
    output = tmp_path / "new" / "clip.pt"
    quick = ("--contrastive-steps", 1, "--dense-steps", 1, "--probe-scenes", 1)
    done = pretrain_clip("--data", root, "--output", output, *quick)
    assert done.returncode == 0, done.stderr
    assert "CRM's recall" in done.stdout + done.stderr
    assert [path.name for path in output.parent.iterdir()] == ["clip.pt"]
    build_clip(str(CLIP_CONFIG)).load_state_dict(torch.load(output, weights_only=True))


def test_the_tool_names_missing_scenes(tmp_path):
    done = pretrain_clip("--data", tmp_path)
    assert done.returncode == 2
    assert "errseg mini draw" in done.stderr and "Traceback" not in done.stderr


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
