"""Segment your own pictures and videos with your own names.

    python tools/predict.py photo.jpg --classes "cat, grass, sky"
    python tools/predict.py photos/ 'more/**/*.png' clip.mp4 --vocabulary ade20k_150 --weights errseg_base.pth

IMAGES are files, folders with their sub-folders, patterns in quotes, and videos. Outputs lie in --out as the inputs do
in their folder: NAME_overlay.png, NAME_labels.png (indices of the names), NAME.json, NAME_rle.json; of a video,
NAME_overlay.mp4 and NAME_frames/. What is done stays; the same command goes on where it was interrupted. Exit status 1
where an input failed; such inputs are named at the end.
"""

import argparse
import sys
import warnings
from pathlib import Path

from PIL import Image

import errseg  # noqa: F401  makes detectron2 importable
from errseg.api.arguments import add_model, add_names, load_model, names_of
from errseg.api.names import as_vocabulary, clean_name
from errseg.api.result import FORMATS
from errseg.batch import Settings, find_sources, predict
from errseg.batch.report import classes_table, summary
from errseg.errors import UsageError
from errseg.fonts import letters_of_no_font


def main() -> int:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # names in any script, on any terminal
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a large picture of one's own is no bomb
    args = parse()
    try:
        return run(args)
    except UsageError as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before anything is written
        return 130


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGES", help="files, folders, patterns, videos")
    add_names(parser)
    add("--out", type=Path, default=Path("output/predict"), metavar="DIR", help="default: %(default)s")
    add("--format", default="overlay,labels,json", metavar="F,…", help=f"some of {', '.join(FORMATS)} (%(default)s)")
    add("--batch", type=int, default=1, metavar="N", help="images at a time")
    add("--background", metavar="NAME", help="name of the pixels below --min-confidence (default: none is below)")
    add("--min-confidence", type=float, metavar="X", help="0 to 1, with --background (default: 0.5)")
    add("--every", type=int, default=1, metavar="N", help="one of N frames of a video")
    add("--overwrite", action="store_true", help="do anew what is done")
    add_model(parser)
    return parser.parse_intermixed_args()


def run(args: argparse.Namespace) -> int:
    """Check the request, load the model, segment, report."""
    settings = check(args)
    sources = find_sources(args.images, args.out)
    vocabulary = as_vocabulary(names_of(args))
    model = load_model(args)
    model.set_vocabulary(vocabulary, args.num_classes)
    odd = letters_of_no_font(model.names) if "overlay" in settings.formats else ""
    if odd:
        note = f"No font here has the letters {odd[:20]}: legends show codes; install one that has them, such as Noto."
        print(note, file=sys.stderr)
    outcome = predict(model, sources, settings)
    if len(sources) == 1 and outcome.last:
        print(classes_table(outcome.last), end="\n\n")
    print(summary(outcome, settings))
    for problem in outcome.problems:
        print(f"  {problem}", file=sys.stderr)
    if outcome.stopped:
        print("Interrupted: the same command goes on from here.", file=sys.stderr)
        return 130
    return 1 if outcome.problems else 0


def check(args: argparse.Namespace) -> Settings:
    """The settings, and what the options cannot mean refused before anything expensive."""
    formats = tuple(dict.fromkeys(each.strip() for each in args.format.split(",") if each.strip()))
    unknown = [each for each in formats if each not in FORMATS]
    if unknown or not formats:
        raise UsageError(f"--format is {args.format!r}; give some of {', '.join(FORMATS)}, with commas between them.")
    for option, least in (("batch", 1), ("every", 1), ("num_classes", 0)):
        value = getattr(args, option)
        if value is not None and value < least:
            raise UsageError(f"--{option.replace('_', '-')} is {value}; give {least} or more.")
    if args.min_confidence is not None and args.background is None:
        raise UsageError("--min-confidence counts with --background NAME, the name of the pixels below it; give both.")
    confidence = 0.5 if args.min_confidence is None else args.min_confidence
    if not 0 <= confidence <= 1:
        raise UsageError(f"--min-confidence is {confidence}; give a confidence from 0 to 1.")
    try:
        background = None if args.background is None else clean_name(args.background)
    except UsageError as error:
        raise UsageError(f"--background: {error}") from error
    return Settings(args.out, formats, args.batch, background, confidence, args.every, args.overwrite)


if __name__ == "__main__":
    sys.exit(main())
