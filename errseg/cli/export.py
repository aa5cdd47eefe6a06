"""Write a model to a folder that runs without errseg.

  errseg export --weights errseg_base.pth --vocabulary ade20k_150

Input: images as uint8 RGB. Output: the label map and the confidences. The
embeddings of the names are part of the file; with --open-vocabulary, they are
an input. The folder also holds the names, preprocessing.json and
example.py. The file is compared with the model before it is kept; --compare
compares both on your pictures, with times.

  errseg export ... --int8 --calibrate photos/

writes ONNX (or OpenVINO) in eight bits, and prints how far it agrees with
float32 on those of the pictures that it was not calibrated on, with sizes and
times. With --format openvino, --precision float16 rounds the weights alone.
"""

import argparse
from typing import TYPE_CHECKING

from errseg.errors import UsageError, short

from .options import add_model, add_names, add_out, load_model, names_of
from .parser import Parser

if TYPE_CHECKING:
    from pathlib import Path

    from errseg.api import Segmenter

EXAMPLE_VOCABULARY = "ade20k_150"  # the example of an open vocabulary, if no names are given


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--format", choices=("onnx", "torch_export", "openvino"), default="onnx", help="(default: onnx)")
    add_names(parser, required=False)
    add("--open-vocabulary", action="store_true", help="make the embeddings an input; the names are an example")
    add("--resolution", type=int, metavar="R", help="side of the images in pixels (default: INPUT.RESOLUTION_TEST)")
    add("--size", metavar="H,W", help="a rectangle, or dynamic: any multiples of 32, an image at a time")
    add("--native-size", action="store_true", help="take the picture's size too; the label map has that size")
    add_model(parser, device=False)
    add_out(parser, None, "the folder (default: output/export/FORMAT)", metavar="DIR")
    add("--overwrite", action="store_true", help="write into a folder that holds other files too; they stay")
    add("--int8", action="store_true", help="quantise to eight bits (ONNX, OpenVINO); needs --calibrate")
    add("--calibrate", nargs="+", metavar="PICTURE", help="pictures for --int8: half calibrate, half are compared on")
    add("--compare", nargs="+", metavar="PICTURE", help="pictures to compare on: files, folders, patterns in quotes")


def run(args: argparse.Namespace) -> int:
    """Write the folder, and compare it on the pictures that are given."""
    import logging
    from pathlib import Path

    import torch

    from errseg.export import agreement_on_pictures, export_model, runner_of

    logging.basicConfig(format="%(message)s", level=logging.ERROR)  # to stderr
    out = args.out or Path("output/export") / args.format
    if args.int8 != bool(args.calibrate):
        raise UsageError(
            "--int8 needs --calibrate PICTURE …, pictures that set the ranges of the activations; give both or neither."
        )
    pictures, calibrate = pictures_of("--compare", args.compare, out), pictures_of("--calibrate", args.calibrate, out)
    if args.resolution is not None and args.size not in (None, "dynamic"):
        raise UsageError(f"--size {short(args.size)} and --resolution {args.resolution} both name a size; give one.")
    half_weights = args.format == "openvino" and args.precision == "float16"
    if half_weights:
        args.precision = "float32"  # of the model
    segmenter = make_segmenter(args)
    done = export_model(
        segmenter,
        out,
        args.format,
        args.open_vocabulary,
        args.num_classes,
        args.overwrite,
        calibrate,
        say=print,
        size=args.size,
        native_size=args.native_size,
        half_weights=half_weights,
    )
    of = "in float32, " if done.int8 else ""
    print(
        f"{done.file}: {done.size / 1e6:.1f} MB, {of}{100 * done.agreement:.3f} % of the pixels of two drawn pictures "
        f"labelled as the model labels them; {done.seconds:.0f} s. Try: python {done.folder / 'example.py'} PHOTO"
    )
    if done.int8:
        print(done.int8)
    if pictures:
        # the K of an open vocabulary may be larger than its example
        if done.num_classes != segmenter.encoded.num_kept:
            segmenter.set_vocabulary(names_of(args) or EXAMPLE_VOCABULARY, done.num_classes)
        runner = runner_of(done.file, torch.get_num_threads())
        compared = agreement_on_pictures(
            runner, segmenter, pictures, args.open_vocabulary, done.takes, args.native_size
        )
        print(compared)
    return 0


def pictures_of(option: str, arguments: list[str] | None, out: "Path") -> list[str]:
    """The pictures that an option names; none where it is not given.

    Raises:
        UsageError: there are only videos.
    """
    from errseg.batch import find_sources

    if not arguments:
        return []
    found = [each.path for each in find_sources(arguments, out) if not each.is_video]
    if not found:
        raise UsageError(f"{option} has only videos; give pictures.")
    return found


def make_segmenter(args: argparse.Namespace) -> "Segmenter":
    """The model on the CPU, with its names.

    Raises:
        UsageError: there are no names, or K is invalid.
    """
    names = names_of(args) or (EXAMPLE_VOCABULARY if args.open_vocabulary else None)
    if names is None:
        raise UsageError("no names are given; add --vocabulary, --classes, --classes-file, or --open-vocabulary.")
    if args.open_vocabulary and args.num_classes == 0:
        raise UsageError(
            "--num-classes 0 means all names, and an open vocabulary has no fixed number of names; give 1 or more."
        )
    resolution = ["INPUT.RESOLUTION_TEST", str(args.resolution)] if args.resolution is not None else []
    segmenter = load_model(args, resolution)
    segmenter.set_vocabulary(names, args.num_classes)
    return segmenter
