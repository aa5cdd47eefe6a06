"""Draw what happens inside a model, as figures for a paper.

  errseg inspect photo.jpg --classes "cat, grass" --what attention --point 9,9

Of ERR-Seg: cost: cost maps at both scales. crm: CRM's ranking of the names,
and the cut. attention: SFM's attention from a point, with and without CRM
(Fig. 2 of the paper), and CFM's attention among the names. guidance: the
features that guide ESCF and GUD. For several pictures, the means of the
attention figures come last.
Of DeOP: proposals: the largest masks with their names. heatmaps: where the
classifier looks for a proposal, before and after the mask. severance: what
patch severance does to the similarity with a point and with names.
SED and CAT-Seg have cost and guidance.
Exit status 1: a picture could not be read.
"""

import argparse
import sys
from typing import TYPE_CHECKING

from errseg.errors import UsageError

from .options import add_model, add_names, add_out, listed, load_model, names_of
from .parser import Parser

if TYPE_CHECKING:
    from errseg.api import Segmenter

PARTS = ("cost", "crm", "attention", "guidance", "proposals", "heatmaps", "severance")
ENDINGS = tuple(f"_{name}.png" for name in (*PARTS, "class_attention"))


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("images", metavar="PICTURES", nargs="+", help="files, folders, or patterns in quotes")
    add("--what", type=listed, metavar="LIST", help=f"of {', '.join(PARTS)} (default: all that the model has)")
    add_names(parser)
    add_model(parser)
    add("--show", metavar="NAMES", default="", help="the names to show (default: those of the largest areas)")
    add("--point", metavar="X,Y", help="the point to look from, in pixels, or click (default: a confident pixel)")
    add("--layer", type=int, metavar="N", help="layer of ESCF, from 1 (default: the last)")
    add("--head", default="mean", metavar="N", help="attention head, from 1, or mean (default)")
    add_out(parser, "output/visualize", metavar="DIR")
    add("--format", type=listed, default=["png"], metavar="LIST", help="of png,pdf,svg (default: png)")
    add("--arrays", action="store_true", help="also write the arrays behind each figure, as .npz")


def run(args: argparse.Namespace) -> int:
    """Inspect the pictures, write the figures, print their paths."""
    from errseg.api.names import names_from_text
    from errseg.batch import assign_places, find_sources
    from errseg.batch.sources import problem
    from errseg.inspection import attention_measures, inspect, save_inspection, summarize
    from errseg.inspection.point import click_point, read_point

    head = _head(args.head)
    show = names_from_text(args.show) if args.show.strip() else []
    point = None if args.point in (None, "click") else read_point(args.point)
    sources = [each for each in find_sources(args.images, args.out, ENDINGS) if not each.is_video]
    if not sources:
        raise UsageError("there are only videos; give pictures.")
    segmenter = _segmenter(args)
    measures, broken = [], []
    for source, place in assign_places(sources, {}, ENDINGS).items():
        try:
            picture = segmenter.read(source.path)
        except UsageError as error:
            broken.append(problem(source.path, error))
            continue
        looks_from = click_point(picture) if args.point == "click" else point
        try:
            inspection = inspect(segmenter, picture, args.what, show, looks_from, args.layer)
        except UsageError as error:  # an option that does not fit this picture, or that fits none
            raise UsageError(problem(source.path, error) if len(sources) > 1 else str(error)) from error
        at_point = args.point is not None
        for path in save_inspection(inspection, args.out, place, args.format, head, at_point, args.arrays):
            print(path, flush=True)
        if inspection.attention is not None:
            measures.append(attention_measures(inspection, head, at_point))
    for sentence in summarize(measures) if len(sources) > 1 else ():
        print(sentence)
    for sentence in broken:
        print(f"{args.program}: {sentence}", file=sys.stderr)
    return 1 if broken else 0


def _segmenter(args: argparse.Namespace) -> "Segmenter":
    segmenter = load_model(args, verbose=False)
    names = names_of(args)
    assert names is not None  # the options require them
    segmenter.set_vocabulary(names, args.num_classes)
    return segmenter


def _head(text: str) -> int | None:
    if text != "mean" and not text.isdigit():
        raise UsageError(f"--head {text!r} is not a head; give its number, from 1, or mean.")
    return None if text == "mean" else int(text)
