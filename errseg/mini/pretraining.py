"""The complete pretraining of the mini CLIP: both phases, saving the weights, and measuring the model."""

import logging
from pathlib import Path

import torch
from detectron2.utils.env import seed_all_rng

from errseg.atomic import replacing
from errseg.modeling.clip.build import build_clip
from errseg.modeling.clip.prompts import tokenizer_of

from .clip import CLIP_CONFIG
from .crops import load_scenes
from .datasets import NUM_CLASSES_TEST
from .pretrain import Phase, train_contrastive, train_dense
from .probe import crop_accuracy, selection_recall

__all__ = ["pretrain"]

logger = logging.getLogger(__name__)


def pretrain(
    path: Path,
    data: Path,
    contrastive_steps: int = 900,
    dense_steps: int = 1200,
    probe_scenes: int = 100,
    seed: int = 0,
) -> None:
    """Pretrain the mini CLIP, save its weights, and log its scores.

    Args:
        path: the file of the weights; it is written completely or not at all.
        data: the folder of all data sets, which holds the scenes.
        contrastive_steps: steps of the first phase; 0 leaves it out.
        dense_steps: steps of the second phase; 0 leaves it out.
        probe_scenes: number of scenes of each data set on which the model is measured.
        seed: the seed of both phases.

    Raises:
        FileNotFoundError: there are no scenes.
    """
    scenes = load_scenes(data, "train")
    seed_all_rng(seed)
    clip = build_clip(str(CLIP_CONFIG)).to(memory_format=torch.channels_last)
    tokenizer = tokenizer_of(str(CLIP_CONFIG))
    if contrastive_steps:
        phase = Phase(contrastive_steps, batch=64, image_lr=3e-3, text_lr=1e-3)
        train_contrastive(clip, tokenizer, scenes, phase, seed)
    if dense_steps:
        phase = Phase(dense_steps, batch=8, image_lr=2e-3, text_lr=5e-4)
        train_dense(clip, tokenizer, scenes, phase, seed)

    with replacing(path) as temporary:
        torch.save(clip.state_dict(), temporary)
    logger.info("saved %s", path)

    for split in ("seen", "unseen", "large"):
        probed = load_scenes(data, split, probe_scenes)
        logger.info(
            "%s names: %.1f %% of the crops named right among %d, CRM's recall %.1f %% with K = %d",
            split,
            crop_accuracy(clip, tokenizer, probed),
            len(probed.names),
            selection_recall(clip, tokenizer, probed, NUM_CLASSES_TEST[split]),
            NUM_CLASSES_TEST[split],
        )
