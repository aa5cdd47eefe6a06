"""Segment pictures and videos with names of your own.

  errseg predict photos/ clip.mp4 --classes "cat, grass" --weights FILE

PICTURES are files, folders with their sub-folders, patterns in quotes, and
videos. --out has the same sub-folders as the inputs. For a picture it holds
NAME_overlay.png, NAME_labels.png (indices of the names), NAME.json and
NAME_rle.json; for a video, NAME_overlay.mp4 and NAME_frames/. The other
formats are annotations of all pictures for other tools, made of labels and
json. After an interruption, the same command continues. Exit status 1: an input
failed.

  errseg predict s3://bucket/photos/ --engine ray --out s3://bucket/out …

With --engine ray, PICTURES are also addresses of stores, WebDataset shards
(*.tar) and lists (*.parquet with a column path), and --format has parquet:
run-length masks of all pictures. Pictures that failed are in failed.csv.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from errseg.errors import UsageError

from .options import add_model, add_names, add_out, listed, load_model, names_of, positive
from .parser import Parser

if TYPE_CHECKING:
    from errseg.batch import Settings

ENGINES = ("plain", "ray")


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("images", nargs="+", metavar="PICTURES", help="files, folders, patterns, videos")
    add_names(parser)
    add_model(parser)
    add_out(parser, "output/predict", metavar="DIR", type=str)
    add(
        "--format",
        default="overlay,labels,json",
        metavar="F,…",
        help="of overlay,labels,json,rle, coco-panoptic,coco-stuff, labelme,cvat, label-studio,label-studio-polygons "
        "(default: %(default)s)",
    )
    add("--batch", type=int, default=1, metavar="N", help="images at a time (default: 1)")
    add("--background", metavar="NAME", help="name for pixels below --min-confidence (default: no such pixels)")
    add("--min-confidence", type=float, metavar="X", help="0 to 1, needs --background (default: 0.5)")
    add("--image-prefix", metavar="URL", help="before a picture's path in Label Studio's tasks (default: local files)")
    add("--every", type=int, default=1, metavar="N", help="take one of N frames of a video (default: 1)")
    add("--overwrite", action="store_true", help="segment finished inputs again")
    add("--engine", choices=ENGINES, default="plain", help="plain (one process), or ray (default: %(default)s)")
    add("--workers", type=positive, metavar="N", help="processes of --engine ray (default: one for each GPU, or one)")
    add("--address", metavar="ADDR", help="of a Ray cluster, as in ray status (default: this machine alone)")


def run(args: argparse.Namespace) -> int:
    """Check the request, load the model, segment, report."""
    import warnings

    from PIL import Image

    from errseg.api.names import as_vocabulary
    from errseg.batch import find_sources, predict
    from errseg.batch.report import classes_table, summary
    from errseg.fonts import letters_of_no_font

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names in any script work on any terminal
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a large picture of the user is no attack
    settings = check(args)
    if args.engine == "ray":
        from .predict_ray import run_with_ray

        return run_with_ray(args, settings)
    sources = find_sources(args.images, args.out)
    names = names_of(args)
    assert names is not None  # the options require them
    vocabulary = as_vocabulary(names)
    model = load_model(args)
    model.set_vocabulary(vocabulary, args.num_classes)
    odd = letters_of_no_font(model.names) if "overlay" in settings.formats else ""
    if odd:
        note = f"No installed font has the letters {odd[:20]}: legends show their codes; install a font such as Noto."
        print(note, file=sys.stderr)
    outcome = predict(model, sources, settings)
    if len(sources) == 1 and outcome.last:
        print(classes_table(outcome.last), end="\n\n")
    print(summary(outcome, settings))
    for problem in outcome.problems:
        print(f"  {problem}", file=sys.stderr)
    if outcome.stopped:
        print("Interrupted: the same command continues from here.", file=sys.stderr)
        return 130
    return 1 if outcome.problems else 0


def check(args: argparse.Namespace) -> "Settings":
    """Check the options before anything expensive starts, and return the settings.

    Raises:
        UsageError: an option has an invalid value.
    """
    from errseg.api.names import clean_name
    from errseg.api.result import FORMATS
    from errseg.batch import ANNOTATIONS, Settings

    formats = tuple(listed(args.format))
    known = (*FORMATS, *ANNOTATIONS)
    if args.engine == "ray":
        known = (*FORMATS, "parquet")
    else:
        check_plain(args, formats)
    unknown = [each for each in formats if each not in known]
    if unknown or not formats:
        more = ""
        if args.engine == "ray" and set(unknown) & ANNOTATIONS.keys():
            more = " For annotations, give labels,json now, and the same command without --engine ray afterwards."
        raise UsageError(
            f"--format is {args.format!r}; give some of {', '.join(known)}, with commas between them.{more}"
        )
    prefix = {} if args.image_prefix is None else {"prefix": args.image_prefix}
    for option, least in (("batch", 1), ("every", 1), ("num_classes", 0)):
        value = getattr(args, option)
        if isinstance(value, int) and value < least:
            raise UsageError(f"--{option.replace('_', '-')} is {value}; give {least} or more.")
    if args.min_confidence is not None and args.background is None:
        raise UsageError("--min-confidence needs --background NAME, the name of the pixels below it; give both.")
    confidence = 0.5 if args.min_confidence is None else args.min_confidence
    if not 0 <= confidence <= 1:
        raise UsageError(f"--min-confidence is {confidence}; give a confidence from 0 to 1.")
    try:
        background = None if args.background is None else clean_name(args.background)
    except UsageError as error:
        raise UsageError(f"--background: {error}") from error
    options = (args.batch, background, confidence, args.every, args.overwrite)
    return Settings(Path(args.out), formats, *options, **prefix)


def check_plain(args: argparse.Namespace, formats: tuple[str, ...]) -> None:
    """Refuse what only --engine ray does.

    Raises:
        UsageError: an option or its value needs --engine ray.
    """
    given = [f"--{each}" for each in ("workers", "address") if getattr(args, each) is not None]
    given += ["--format parquet"] * ("parquet" in formats) + [f"--out {args.out}"] * ("://" in str(args.out))
    if given:
        raise UsageError(f"{given[0]} needs --engine ray; add it, or leave {given[0]} out.")
