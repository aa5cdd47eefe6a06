"""Import a data set that another tool has written.

  errseg data import annotations/instances_val2017.json --out datasets/mine

SOURCE is a file or an unpacked folder; its format is recognised. Writes the
images (links, or copies), labels of class ids, dataset.yaml for errseg data
check, train and evaluate, report.json, and samples.png, a contact sheet. If the
command is interrupted, the same command continues. Exit status 1: a picture was
left out.
"""

import argparse
from pathlib import Path

from errseg.errors import UsageError

from .options import add_out, listed, positive
from .parser import Parser

FORMATS = "coco, coco-panoptic, labelme, cvat, cvat-xml, label-studio, colors, ultralytics"


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("source", type=Path, metavar="SOURCE", help="file or folder of the other tool")
    add_out(parser, None, "an empty folder, or that of an earlier import", required=True, metavar="DIR")
    add("--format", metavar="F", help=f"{FORMATS} (default: recognised)")
    add("--images", type=Path, metavar="DIR", help="folder of the images (default: where the format has them)")
    add("--masks", type=Path, metavar="DIR", help="folder of the masks (default: where the format has them)")
    add("--mask-ending", metavar="END", help="how masks of colours end, such as _L.png (default: .png, .tif, .tiff)")
    add("--colors", type=Path, metavar="FILE", help="table of colours (default: class_dict.csv and the like in SOURCE)")
    add("--split", metavar="NAME", help="the part of a source that has several, such as val")
    add("--names", type=Path, metavar="FILE", help="names in the order of the ids; regions of other names are dropped")
    add("--overlap", choices=("later", "smaller"), default="later", help="which region wins (default: later)")
    add("--background", metavar="NAME", help="name of id 0, for pixels without a region (default: they are ignored)")
    add("--ignore", default="", metavar="NAMES", help="names whose regions do not count, with commas between them")
    add("--copy", action="store_true", help="copy the images (default: link them)")
    add("--workers", type=positive, metavar="N", help="processes (default: one for each CPU)")
    add("--samples", type=int, default=8, metavar="N", help="pictures of the contact sheet (default: 8)")


def run(args: argparse.Namespace) -> int:
    """Import, and print the report."""
    from errseg.data.importing import FORMATS as known
    from errseg.data.importing import Options, import_data
    from errseg.data.importing.report import report_text

    if args.format is not None and args.format not in known:
        raise UsageError(f"--format is {args.format!r}; give one of {', '.join(known)}.")
    if args.samples < 0:
        raise UsageError(f"--samples is {args.samples}; give 0 or more.")
    background = None if args.background is None else " ".join(args.background.split())
    if background is not None and not all(part.strip() for part in background.split(",")):
        raise UsageError(f"--background is {args.background!r}, which is no name; give one.")
    options = Options(
        args.images,
        args.masks,
        args.names,
        args.colors,
        args.split,
        args.mask_ending,
        args.overlap,
        background,
        tuple(listed(args.ignore)),
        args.copy,
    )
    imported = import_data(args.source, args.out, options, args.format, args.workers, args.samples)
    print(report_text(imported.report))
    kept = f" ({imported.kept} of them from an earlier run)" if imported.kept else ""
    print(f"\n{imported.report['pictures']} pictures{kept} are in {args.out}; the data-set file is {imported.dataset}")
    if imported.samples:
        print(f"Contact sheet: {imported.samples}")
    return 1 if imported.report["left_out"] else 0
