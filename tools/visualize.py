"""Show what the model does with a picture, as figures that could stand in a paper.

    python tools/visualize.py photo.jpg --vocabulary ade20k_847 --weights model_final.pth
    python tools/visualize.py photo.jpg --classes "cat, grass" --what attention --point 320,240 --format pdf

cost: cost maps at both scales. crm: the classes that CRM ranks, and where it cuts. attention: where SFM looks from a
point with and without CRM (Fig. 2 of the paper), and what CFM's classes attend to. guidance: what guides ESCF and GUD.
"""

import argparse
import sys
from pathlib import Path

import errseg  # noqa: F401  makes detectron2 importable
from errseg.api.arguments import add_model, add_names, load_model, names_of
from errseg.api.images import read_image
from errseg.api.names import names_from_text
from errseg.errors import UsageError
from errseg.inspection import PARTS, inspect, save_inspection
from errseg.inspection.point import click_point, read_point


def main() -> int:
    args = parse()
    try:
        written = visualize(args)
    except UsageError as error:
        print(f"visualize.py: {error}", file=sys.stderr)
        return 2
    for path in written:
        print(path)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", metavar="IMAGE", help="a picture")
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
    return parser.parse_args()


def visualize(args: argparse.Namespace) -> list[Path]:
    """Inspect the picture, and write the figures; returns their paths."""
    head = _head(args.head)
    show = names_from_text(args.show) if args.show.strip() else []
    picture = read_image(args.image)
    point = None
    if args.point is not None:
        point = click_point(picture) if args.point == "click" else read_point(args.point)
    segmenter = load_model(args, verbose=False)
    segmenter.set_vocabulary(names_of(args), args.num_classes)
    inspection = inspect(segmenter, picture, args.what, show, point, args.layer)
    at_point = args.point is not None
    stem = Path(args.image).stem
    return save_inspection(inspection, args.out, stem, args.format, head, at_point, args.arrays)


def _listed(text: str) -> list[str]:
    """``a,b`` -> the parts, each once."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _head(text: str) -> int | None:
    if text != "mean" and not text.isdigit():
        raise UsageError(f"--head {text!r} is no head; give its number, from 1, or mean.")
    return None if text == "mean" else int(text)


if __name__ == "__main__":
    sys.exit(main())
