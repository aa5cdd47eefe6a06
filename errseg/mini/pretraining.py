"""The complete pretraining of a mini CLIP: both phases, saving the weights, and measuring the model."""

import logging
from pathlib import Path
from typing import NamedTuple

import torch
from detectron2.utils.env import seed_all_rng

from errseg.atomic import replacing
from errseg.modeling.clip.build import build_clip
from errseg.modeling.clip.prompts import tokenizer_of

from . import CLIP_CONFIGS
from .crops import load_scenes
from .datasets import NUM_CLASSES_TEST
from .pretrain import Phase, train_contrastive, train_dense
from .probe import crop_accuracy, region_accuracy, selection_recall

__all__ = ["RECIPES", "Recipe", "pretrain"]

logger = logging.getLogger(__name__)


class Recipe(NamedTuple):
    """How the CLIP of an image tower is pretrained.

    Attributes:
        contrastive, dense: the settings of the two phases.
        crops, regions: of the dense phase; see ``train_dense``.
    """

    contrastive: Phase
    dense: Phase
    crops: int = 0
    regions: bool = False


RECIPES = {
    "convnext": Recipe(
        Phase(900, batch=64, image_lr=3e-3, text_lr=1e-3), Phase(1200, batch=8, image_lr=2e-3, text_lr=5e-4)
    ),
    "vit": Recipe(
        Phase(0, batch=64, image_lr=2e-3, text_lr=1e-3, blocks_lr=5e-3),
        Phase(900, batch=16, image_lr=2e-3, text_lr=1e-3, blocks_lr=5e-3),
        crops=8,
        regions=True,
    ),
}


def pretrain(
    path: Path,
    data: Path,
    contrastive_steps: int | None = None,
    dense_steps: int | None = None,
    probe_scenes: int = 100,
    seed: int = 0,
    tower: str = "convnext",
) -> None:
    """Pretrain a mini CLIP, save its weights, and log its scores.

    Args:
        path: the file of the weights; it is written completely or not at all.
        data: the folder of all data sets, which holds the scenes.
        contrastive_steps: steps of the first phase; 0 leaves it out; None: those of the recipe.
        dense_steps: steps of the second phase; 0 leaves it out; None: those of the recipe.
        probe_scenes: number of scenes of each data set on which the model is measured.
        seed: the seed of both phases.
        tower: the image tower, a key of ``RECIPES``.

    Raises:
        FileNotFoundError: there are no scenes.
    """
    scenes, recipe, config = load_scenes(data, "train"), RECIPES[tower], str(CLIP_CONFIGS[tower])
    seed_all_rng(seed)
    clip = build_clip(config).to(memory_format=torch.channels_last)
    tokenizer = tokenizer_of(config)
    contrastive, dense = (
        phase if steps is None else phase._replace(steps=steps)
        for phase, steps in ((recipe.contrastive, contrastive_steps), (recipe.dense, dense_steps))
    )
    if contrastive.steps:
        train_contrastive(clip, tokenizer, scenes, contrastive, seed)
    if dense.steps:
        train_dense(clip, tokenizer, scenes, dense, seed, recipe.crops, recipe.regions)

    with replacing(path) as temporary:
        torch.save(clip.state_dict(), temporary)
    logger.info("saved %s", path)

    for split in ("seen", "unseen", "large"):
        probed = load_scenes(data, split, probe_scenes)
        scores = f"{crop_accuracy(clip, tokenizer, probed):.1f} % of the crops"
        scores += f" and {region_accuracy(clip, tokenizer, probed):.1f} % of the true regions named right"
        if tower == "convnext":
            num_kept = NUM_CLASSES_TEST[split]
            recall = selection_recall(clip, tokenizer, probed, num_kept)
            scores += f", CRM's recall {recall:.1f} % with K = {num_kept}"
        logger.info("%s, %d names: %s", split, len(probed.names), scores)
