"""Pretrain the mini CLIP on the scenes of the mini world; MODEL.CLIP.PRETRAINED takes what it writes.

python tools/pretrain_clip.py --output output/mini/clip.pt
"""

import argparse
import logging
import sys
from pathlib import Path

import errseg  # noqa: F401  makes detectron2 importable

# isort: split
import torch
from detectron2.utils.env import seed_all_rng
from detectron2.utils.logger import setup_logger

from errseg.atomic import replacing
from errseg.errors import UsageError
from errseg.mini import CLIP_CONFIG
from errseg.mini.crops import load_scenes
from errseg.mini.datasets import NUM_CLASSES_TEST
from errseg.mini.layout import data_root
from errseg.mini.pretrain import Phase, train_contrastive, train_dense
from errseg.mini.probe import crop_accuracy, selection_recall
from errseg.modeling.clip.build import build_clip
from errseg.modeling.clip.prompts import tokenizer_of

logger = logging.getLogger("errseg.pretrain_clip")


def main() -> int:
    """Train, say how good it is, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("output/mini/clip.pt"), help="the weights")
    parser.add_argument("--data", type=Path, default=data_root())
    parser.add_argument("--contrastive-steps", type=int, default=900)
    parser.add_argument("--dense-steps", type=int, default=1200)
    parser.add_argument("--probe-scenes", type=int, default=100, help="scenes of each set to try it on")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    setup_logger(name="errseg")
    try:
        pretrain(args)
    except (UsageError, FileNotFoundError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    return 0


def pretrain(args: argparse.Namespace) -> None:
    """Both phases, the probes, and the file, which appears complete or not at all."""
    scenes = load_scenes(args.data, "train")
    seed_all_rng(args.seed)
    clip = build_clip(str(CLIP_CONFIG)).to(memory_format=torch.channels_last)
    tokenizer = tokenizer_of(str(CLIP_CONFIG))
    if args.contrastive_steps:
        phase = Phase(args.contrastive_steps, batch=64, image_lr=3e-3, text_lr=1e-3)
        train_contrastive(clip, tokenizer, scenes, phase, args.seed)
    if args.dense_steps:
        phase = Phase(args.dense_steps, batch=8, image_lr=2e-3, text_lr=5e-4)
        train_dense(clip, tokenizer, scenes, phase, args.seed)

    with replacing(args.output) as temporary:
        torch.save(clip.state_dict(), temporary)
    logger.info("saved %s", args.output)

    for split in ("seen", "unseen", "large"):
        probed = load_scenes(args.data, split, args.probe_scenes)
        logger.info(
            "%s names: %.1f %% of the crops named right among %d, CRM's recall %.1f %% with K = %d",
            split,
            crop_accuracy(clip, tokenizer, probed),
            len(probed.names),
            selection_recall(clip, tokenizer, probed, NUM_CLASSES_TEST[split]),
            NUM_CLASSES_TEST[split],
        )


if __name__ == "__main__":
    sys.exit(main())
