"""Make labels from Label Studio's masks: one mask file for each class of an image.

  errseg data merge-label-studio MASKS EXPORT.json IMAGES --out LABELS

Writes LABELS/<image>.png and LABELS/names.json, and prints a data-set file for
them.
"""

import argparse
import json
import sys
from pathlib import Path

from errseg.errors import UsageError

from .options import add_out
from .parser import Parser


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("masks", type=Path, metavar="MASKS", help='folder of the export "Brush labels to PNG"')
    add("export", type=Path, metavar="EXPORT.json", help="the JSON, or JSON-MIN, export of the same project")
    add("images", type=Path, metavar="IMAGES", help="folder of the images")
    add_out(parser, None, "folder of the labels", required=True, metavar="LABELS")
    add("--names", type=Path, metavar="FILE", help="names in the order of the ids (default: the export's, sorted)")
    add(
        "--background",
        metavar="NAME",
        help="name of id 0, for pixels without a mask (default: these pixels are ignored)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the labels."""
    from errseg.data.prepare.label_studio import merge

    try:
        merged = merge(args.masks, args.export, args.images, args.out, args.names, args.background)
    except OSError as error:
        raise UsageError(f"{error}; correct that path or its permissions.") from error
    print(f"{merged.labels} labels of {len(merged.names)} names are in {args.out}; their data-set file:\n")
    folders = {"images": args.images.absolute(), "labels": args.out.absolute()}
    keys = {**folders, "names": args.out.absolute() / "names.json", "ignore": merged.ignore}
    print("\n".join(f"{key}: {json.dumps(str(value)) if key != 'ignore' else value}" for key, value in keys.items()))
    if merged.unclear:
        print(f"\n{merged.unclear} pixels are covered by masks of several classes and do not count.", file=sys.stderr)
    return 0
