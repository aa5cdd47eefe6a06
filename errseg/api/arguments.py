"""The options that the command lines for one's own pictures share: which names, and which model."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from errseg.data.vocabularies import vocabulary_names
from errseg.errors import UsageError

from .loading import load
from .names import Names, names_from_file, names_from_text
from .segmenter import Segmenter

__all__ = ["QUICKSTART", "add_model", "add_names", "load_model", "model_of", "names_of"]

QUICKSTART = Path("output/mini/errseg")  # a run of scripts/quickstart.sh, in the working folder or in the checkout
CHECKOUT = Path(__file__).resolve().parents[2]


def add_names(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add ``--classes``, ``--classes-file`` and ``--vocabulary``, of which one is given, and ``--num-classes``."""
    names = parser.add_mutually_exclusive_group(required=required)
    names.add_argument("--classes", metavar="NAMES", help="'cat, grass'; quotes hold synonyms: 'sea, \"sky, air\"'")
    names.add_argument("--classes-file", metavar="FILE", help='one a line; or .json: a list, or {"name": ["synonym"]}')
    known = ", ".join(vocabulary_names())
    names.add_argument("--vocabulary", metavar="NAME", help=f"{known}; or a data set, registered or a .yaml file")
    help = "names that CRM keeps, 0 for all (default: as the paper chooses)"
    parser.add_argument("--num-classes", type=int, metavar="K", help=help)


def add_model(parser: argparse.ArgumentParser, device: bool = True) -> None:
    """Add ``--weights``, ``--config-file``, ``--precision``, ``--opts``, and ``--device``, unless that is the CPU."""
    add = parser.add_argument
    add("--weights", metavar="FILE", help="checkpoint, ours or released, or a run's folder (default: the quickstart's)")
    add("--config-file", metavar="FILE", help="its configuration, where it is not beside it")
    if device:
        add("--device", default="auto", help="auto (a GPU where there is one), cpu, cuda")
    else:
        parser.set_defaults(device="cpu")
    add("--precision", choices=("float32", "bfloat16", "float16"), help="default: the configuration's")
    add("--opts", nargs="*", default=[], metavar="KEY VALUE", help="configuration keys, at the end")


def names_of(args: argparse.Namespace) -> Names | None:
    """The names that one of the options gives; None where none is given.

    Raises:
        UsageError: they cannot be read.
    """
    if args.classes is not None:
        return names_from_text(args.classes)
    return names_from_file(args.classes_file) if args.classes_file is not None else args.vocabulary


def load_model(args: argparse.Namespace, overrides: Sequence[Any] = (), verbose: bool = True) -> Segmenter:
    """The model that the options ask for, without a vocabulary.

    Args:
        args: of ``add_model``.
        overrides: configuration keys and values before those of ``--opts``.
        verbose: as ``load``'s.

    Raises:
        UsageError: as ``load``, and where no model is given and there is no quickstart's.
    """
    config, weights = model_of(args.weights, args.config_file)
    return load(config, weights, args.device, args.precision, [*overrides, *args.opts], verbose)


def model_of(weights: str | None, config_file: str | None) -> tuple[str, str | None]:
    """The first two arguments of ``load`` for ``--weights`` and ``--config-file``.

    With neither, they are the quickstart's model, and a line says so.

    Raises:
        UsageError: there is neither, and no quickstart's model.
    """
    if config_file:
        return config_file, weights or None
    if weights:
        return weights, None
    for run in (QUICKSTART, CHECKOUT / QUICKSTART):
        if (run / "model_final.pth").is_file() and (run / "config.yaml").is_file():
            note = f"No --weights given: this is the quickstart's model, {run}, which knows only drawn shapes."
            print(note, file=sys.stderr)
            return str(run), None
    raise UsageError(
        "no --weights given, and no quickstart's model at output/mini/errseg; download the authors' release from "
        "huggingface.co/lchen1019/ERR-Seg and give it as --weights FILE, or run scripts/quickstart.sh."
    )
