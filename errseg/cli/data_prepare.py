"""Convert a data set from its published files to the labels that errseg reads.

  errseg data prepare ade20k_150 /path/to/datasets

If the command is interrupted, the same command continues.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

from errseg.errors import UsageError

from .options import positive
from .parser import Parser

NEEDS_MODELS = False


class Set(NamedTuple):
    """A row of the table of data sets."""

    parts: str  # the function of errseg.data.prepare that lists the splits: "module.function"
    folder: str  # in the folder of all data sets
    reads: str  # files in that folder
    writes: str


SETS = {
    "coco_stuff": Set(
        "coco_stuff.parts",
        "coco-stuff",
        "{images/*.jpg, annotations/*.png}, train2017 and val2017",
        "annotations_detectron2/{train2017,val2017}/*.png",
    ),
    "ade20k_150": Set(
        "ade20k_150.parts",
        "ADEChallengeData2016",
        "{images,annotations}/validation",
        "annotations_detectron2/validation/*.png",
    ),
    "ade20k_full": Set(
        "ade20k_full.parts",
        "ADE20K_2021_17_01",
        "index_ade20k.pkl, and the images and *_seg.png that it lists",
        "{images_detectron2/validation/*.jpg,\n            annotations_detectron2/validation/*.tif}",
    ),
    "pascal_context_59": Set(
        "pascal_context.parts_59",
        "VOCdevkit/VOC2010",
        "{JPEGImages/*.jpg, trainval_merged.json}",
        "annotations_detectron2/pc59_val/*.png",
    ),
    "pascal_context_459": Set(
        "pascal_context.parts_459",
        "VOCdevkit/VOC2010",
        "{JPEGImages/*.jpg, trainval_merged.json, trainval/*.mat}",
        "annotations_detectron2/pc459_val/*.tif",
    ),
    "voc": Set(
        "voc.parts",
        "VOCdevkit/VOC2012",
        "{JPEGImages, SegmentationClassAug, ImageSets/Segmentation/val.txt}",
        "{annotations_detectron2,annotations_detectron2_bg}/val/*.png",
    ),
}


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    rows = (
        f"{name:<20}in ROOT/{each.folder}\n    reads   {each.reads}\n    writes  {each.writes}"
        for name, each in SETS.items()
    )
    parser.description = "\n".join([(parser.description or "").rstrip(), "", *rows])
    add = parser.add_argument
    add("set", choices=tuple(SETS), metavar="SET", help="one of the names above")
    add(
        "root", nargs="?", type=Path, metavar="ROOT", help="folder of all data sets ($DETECTRON2_DATASETS, or datasets)"
    )
    parser.alias("--root", "root_option", type=Path)
    add("--workers", type=positive, metavar="N", help="processes (default: one for each CPU)")
    add("--force", action="store_true", help="convert files that were converted before again")


def run(args: argparse.Namespace) -> int:
    """Convert the data set."""
    import importlib

    from errseg.data.prepare import convert

    other = getattr(args, "root_option", None)
    if args.root and other and args.root != other:
        raise UsageError(f"Two roots are given, {args.root} and --root {other}; give one.")
    module, _, function = SETS[args.set].parts.partition(".")
    parts = getattr(importlib.import_module(f"errseg.data.prepare.{module}"), function)
    return convert(parts, args.root or other, args.workers, args.force, args.program)
