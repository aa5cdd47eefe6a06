"""Pretrain a CLIP of the mini world on its scenes.

  errseg mini pretrain --out output/mini/clip.pt

Give the file to the configuration as MODEL.CLIP.PRETRAINED.
"""

import argparse
from pathlib import Path

from errseg.errors import UsageError

from .options import add_out
from .parser import Parser


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add_out(parser, "output/mini/clip.pt", "the file of the weights", metavar="FILE")
    parser.alias("--output", "out", type=Path)
    add(
        "--data", type=Path, metavar="ROOT", help="folder of all data sets (default: $DETECTRON2_DATASETS, or datasets)"
    )
    add(
        "--tower",
        choices=("convnext", "vit"),
        default="convnext",
        help="the image tower: a ConvNeXt or a ViT, as the system needs it (default: convnext)",
    )
    add("--contrastive-steps", type=int, metavar="N", help="steps of the first phase (default: the tower's own)")
    add("--dense-steps", type=int, metavar="N", help="steps of the second phase (default: the tower's own)")
    add("--probe-scenes", type=int, default=100, metavar="N", help="scenes of each set to test it on (default: 100)")
    add("--seed", type=int, default=0, metavar="N", help="(default: 0)")


def run(args: argparse.Namespace) -> int:
    """Train, save, and print the test's scores."""
    from detectron2.utils.logger import setup_logger

    from errseg.mini.layout import data_root
    from errseg.mini.pretraining import pretrain

    setup_logger(name="errseg")
    steps = (args.contrastive_steps, args.dense_steps)
    try:
        pretrain(args.out, args.data or data_root(), *steps, args.probe_scenes, args.seed, args.tower)
    except FileNotFoundError as error:
        raise UsageError(str(error)) from error
    return 0
