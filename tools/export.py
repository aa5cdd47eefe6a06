"""Export a model to a folder that runs without errseg: bytes of images in, label map and confidences out.

    python tools/export.py --weights errseg_base.pth --vocabulary ade20k_150
    python tools/export.py --weights errseg_base.pth --classes 'cat, grass, "sky, heaven"' --format torch_export
    python tools/export.py --weights errseg_base.pth --open-vocabulary --num-classes 32
    python tools/export.py --weights errseg_base.pth --vocabulary ade20k_150 --compare photos/

The names' embeddings are baked in, unless --open-vocabulary makes them an input. Beside the model, the folder holds its
names, what it expects (preprocessing.json) and example.py. The file is compared with the model before it is kept, and
with --compare on your own pictures after that: how many pixels it labels as errseg does, and in what time.
"""

import argparse
import logging
import sys
from pathlib import Path

import torch

import errseg  # noqa: F401  makes detectron2 importable

# isort: split
from errseg.api import Segmenter
from errseg.api.arguments import add_model, add_names, load_model, names_of
from errseg.batch import find_sources
from errseg.errors import UsageError
from errseg.export import FORMATS, compare, export_model, runner_of

EXAMPLE_VOCABULARY = "ade20k_150"  # of an open vocabulary, where no names are given


def main() -> int:
    args = parse()
    logging.basicConfig(format="%(message)s", level=logging.ERROR)  # to stderr
    try:
        export(args)
    except UsageError as error:
        print(f"export.py: {error}", file=sys.stderr)
        return 2
    return 0


def export(args: argparse.Namespace) -> None:
    """Write the folder, and compare it on the pictures that are given."""
    out = args.out or Path("output/export") / args.format
    pictures = [each.path for each in find_sources(args.compare, out) if not each.is_video] if args.compare else []
    if args.compare and not pictures:
        raise UsageError("--compare has videos alone; give pictures.")
    segmenter = make_segmenter(args)
    done = export_model(segmenter, out, args.format, args.open_vocabulary, args.num_classes, args.overwrite, say=print)
    print(
        f"{done.file}: {done.size / 1e6:.1f} MB, {100 * done.agreement:.3f} % of the pixels of two drawn pictures "
        f"labelled as the model labels them; {done.seconds:.0f} s. Try: python {done.folder / 'example.py'} PHOTO"
    )
    if pictures:
        # An open vocabulary's K may exceed its example
        if done.num_classes != segmenter.encoded.num_kept:
            segmenter.set_vocabulary(names_of(args) or EXAMPLE_VOCABULARY, done.num_classes)
        print(compare(runner_of(done.file, torch.get_num_threads()), segmenter, pictures, args.open_vocabulary))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--format", choices=tuple(FORMATS), default="onnx")
    add_names(parser, required=False)
    add("--open-vocabulary", action="store_true", help="text embeddings are an input; names are an example then")
    add("--resolution", type=int, metavar="R", help="side of the images in pixels (default: INPUT.RESOLUTION_TEST)")
    add("--out", type=Path, metavar="DIR", help="default: output/export/FORMAT")
    add("--overwrite", action="store_true", help="write into a folder that holds something else; its files stay")
    add("--compare", nargs="+", metavar="IMAGE", help="compare on pictures: files, folders, patterns in quotes")
    add_model(parser, device=False)
    return parser.parse_args()


def make_segmenter(args: argparse.Namespace) -> Segmenter:
    """The model on the CPU, with its names."""
    names = names_of(args) or (EXAMPLE_VOCABULARY if args.open_vocabulary else None)
    if names is None:
        raise UsageError("no names are given; add --vocabulary, --classes, --classes-file, or --open-vocabulary.")
    if args.open_vocabulary and args.num_classes == 0:
        raise UsageError("--num-classes 0 is all of a vocabulary, and an open one has no number; give 1 or more.")
    resolution = ["INPUT.RESOLUTION_TEST", str(args.resolution)] if args.resolution is not None else []
    segmenter = load_model(args, resolution)
    segmenter.set_vocabulary(names, args.num_classes)
    return segmenter


if __name__ == "__main__":
    sys.exit(main())
