"""Show what the model does with a picture, as figures that could stand in a paper.

    python tools/visualize.py photo.jpg --vocabulary ade20k_847 --weights model_final.pth
    python tools/visualize.py photo.jpg --classes "cat, grass" --what attention --point 320,240 --format pdf
    python tools/visualize.py photos/ --vocabulary ade20k_847 --what attention --weights model_final.pth

cost: cost maps at both scales. crm: the classes that CRM ranks, and where it cuts. attention: where SFM looks from a
point with and without CRM (Fig. 2 of the paper), and what CFM's classes attend to. guidance: what guides ESCF and GUD.
Of several pictures, the means of what the attention figures tell come last.
"""

import argparse
import sys
from pathlib import Path

import errseg  # noqa: F401  makes detectron2 importable
from errseg.api import Segmenter
from errseg.api.arguments import add_model, add_names, load_model, names_of
from errseg.api.names import names_from_text
from errseg.batch import assign_places, find_sources
from errseg.batch.sources import problem
from errseg.errors import UsageError
from errseg.inspection import PARTS, attention_measures, inspect, save_inspection, summarize
from errseg.inspection.point import click_point, read_point

ENDINGS = tuple(f"_{name}.png" for name in ("cost", "crm", "attention", "class_attention", "guidance"))


def main() -> int:
    try:
        broken = visualize(parse())
    except UsageError as error:
        print(f"visualize.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    for sentence in broken:
        print(f"visualize.py: {sentence}", file=sys.stderr)
    return 1 if broken else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="pictures, folders of them, or patterns in quotes")
    parser.add_argument(
        "--what", type=_listed, metavar="LIST", help=f"of {','.join(PARTS)} (default: all that the model has)"
    )
    add_names(parser)
    parser.add_argument("--show", metavar="NAMES", default="", help="names to show (default: the largest)")
    parser.add_argument(
        "--point", metavar="X,Y", help="where attention looks from, in pixels, or click (default: a confident pixel)"
    )
    parser.add_argument("--layer", type=int, metavar="N", help="of ESCF, from 1 (default: the last)")
    parser.add_argument("--head", default="mean", metavar="N", help="from 1, or mean (default)")
    parser.add_argument(
        "--out", type=Path, default=Path("output/visualize"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument("--format", type=_listed, default=["png"], metavar="LIST", help="of png,pdf,svg (default: png)")
    parser.add_argument("--arrays", action="store_true", help="write the arrays behind each figure as .npz too")
    add_model(parser)
    return parser.parse_intermixed_args()


def visualize(args: argparse.Namespace) -> list[str]:
    """Inspect the pictures, write the figures and print their paths; returns a sentence for each broken picture."""
    head = _head(args.head)
    show = names_from_text(args.show) if args.show.strip() else []
    point = None if args.point in (None, "click") else read_point(args.point)
    sources = [each for each in find_sources(args.images, args.out, ENDINGS) if not each.is_video]
    if not sources:
        raise UsageError("there are videos alone; give pictures.")
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
        except UsageError as error:  # an option that does not fit this picture, or none
            raise UsageError(problem(source.path, error) if len(sources) > 1 else error) from error
        at_point = args.point is not None
        for path in save_inspection(inspection, args.out, place, args.format, head, at_point, args.arrays):
            print(path, flush=True)
        if inspection.attention is not None:
            measures.append(attention_measures(inspection, head, at_point))
    for sentence in summarize(measures) if len(sources) > 1 else ():
        print(sentence)
    return broken


def _segmenter(args: argparse.Namespace) -> Segmenter:
    segmenter = load_model(args, verbose=False)
    segmenter.set_vocabulary(names_of(args), args.num_classes)
    return segmenter


def _listed(text: str) -> list[str]:
    """``a,b`` -> the parts, each once."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _head(text: str) -> int | None:
    if text != "mean" and not text.isdigit():
        raise UsageError(f"--head {text!r} is no head; give its number, from 1, or mean.")
    return None if text == "mean" else int(text)


if __name__ == "__main__":
    sys.exit(main())
