"""The options that commands share: the model, the names, the place of the results."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errseg.errors import UsageError, short

from .parser import Parser

if TYPE_CHECKING:
    from errseg.api import Segmenter
    from errseg.api.names import Names

__all__ = [
    "QUICKSTART",
    "add_config",
    "add_model",
    "add_names",
    "add_out",
    "listed",
    "load_model",
    "model_of",
    "names_of",
    "number_or_auto",
    "positive",
    "vocabulary_names",
    "weights_file",
]

PRECISIONS = ("float32", "bfloat16", "float16")
QUICKSTART = Path("output/mini/errseg")  # a run of scripts/quickstart.sh, in the working folder or in the checkout
AUTO = "auto"  # of errseg.modeling.num_kept, without importing it
PACKAGE = Path(__file__).resolve().parents[1]
CHECKOUT = PACKAGE.parent


def add_config(parser: Parser, required: bool = False, default: str | None = None, help: str = "") -> None:
    """Add ``--config``, and KEY VALUE pairs at the end."""
    help = help or "a YAML file, or the name of a packaged configuration such as errseg_convnext_base"
    options = parser.add_mutually_exclusive_group(required=required)  # one of the two spellings
    options.add_argument("--config", default=default, metavar="CONFIG", help=help)
    options.add_argument("--config-file", dest="config", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_keys()


def add_names(parser: Parser, required: bool = True) -> None:
    """Add ``--classes``, ``--classes-file`` and ``--vocabulary``, which exclude each other, and ``--num-classes``."""
    names = parser.add_mutually_exclusive_group(required=required)
    names.add_argument(
        "--classes", metavar="NAMES", help="such as 'cat, grass'; quotes join synonyms: 'sea, \"sky, air\"'"
    )
    names.add_argument(
        "--classes-file", metavar="FILE", help='one name a line; or .json: a list, or {"name": ["synonym"]}'
    )
    known = ", ".join(vocabulary_names())
    names.add_argument(
        "--vocabulary", metavar="NAME", help=f"{known}; or a data set: a registered name or a .yaml file"
    )
    parser.add_argument(
        "--num-classes",
        type=number_or_auto,
        metavar="K",
        help="names kept for each picture, 0 for all, auto for as many as fit the picture (default: as in the paper); "
        "for systems that drop names",
    )


def add_model(parser: Parser, device: bool = True) -> None:
    """Add ``--weights``, ``--config``, ``--precision`` and KEY VALUE pairs, and ``--device`` if ``device``."""
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="a checkpoint, ours or a released one; the folder of a run or of a saved model; or OWNER/NAME on the hub "
        "(default: the quickstart's model)",
    )
    add_config(parser, help="a YAML file or the name of a packaged configuration (default: the one beside the weights)")
    if device:
        add_device(parser)
    else:
        parser.set_defaults(device="cpu")
    add_precision(parser)


def add_device(parser: Parser) -> None:
    """Add ``--device``."""
    parser.add_argument("--device", default="auto", metavar="DEVICE", help="auto (a GPU if there is one), cpu or cuda")


def add_precision(parser: Parser) -> None:
    """Add ``--precision``."""
    help = f"{', '.join(PRECISIONS)} (default: the configuration's)"
    parser.add_argument("--precision", choices=PRECISIONS, metavar="P", help=help)


def add_out(parser: Parser, default: str | None, help: str = "the folder of the results", **options: Any) -> None:
    """Add ``--out``."""
    shown = f" (default: {default})" if default else ""
    parser.add_argument(
        "--out",
        type=options.pop("type", Path),
        default=Path(default) if default else None,
        help=help + shown,
        **options,
    )


def vocabulary_names() -> list[str]:
    """The vocabularies of this package, as ``errseg.data.vocabularies`` lists them, without importing it."""
    return sorted(path.stem for path in (PACKAGE / "data/vocabularies").glob("*.json"))


def listed(text: str) -> list[str]:
    """``a,b`` -> the parts, without repetitions."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def number_or_auto(text: str) -> int | str:
    """A whole number, or "auto"."""
    if text == AUTO:
        return text
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{short(text)!r} is neither a whole number nor {AUTO}") from error


def names_of(args: argparse.Namespace) -> "Names | None":
    """The names that one of the options gives; None where no such option is given.

    Raises:
        UsageError: the names cannot be read.
    """
    from errseg.api.names import names_from_file, names_from_text

    if args.classes is not None:
        return names_from_text(args.classes)
    return names_from_file(args.classes_file) if args.classes_file is not None else args.vocabulary


def load_model(args: argparse.Namespace, overrides: Sequence[Any] = (), verbose: bool = True) -> "Segmenter":
    """The model that the options name, without a vocabulary.

    Args:
        args: the options of ``add_model``.
        overrides: configuration keys and values, applied before those of the command line.
        verbose: see ``errseg.load``.

    Raises:
        UsageError: see ``errseg.load``; or no model is given, and there is no model of the quickstart.
    """
    from errseg.api import load

    config, weights = model_of(args.weights, args.config)
    return load(config, weights, args.device, args.precision, [*overrides, *args.opts], verbose)


def model_of(weights: str | None, config: str | None) -> tuple[str, str | None]:
    """The first two arguments of ``errseg.load`` for ``--weights`` and ``--config``.

    If neither is given, use the quickstart's model, and print a line about it.

    Raises:
        UsageError: neither is given, and there is no model of the quickstart.
    """
    if config:
        return config, weights or None
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


def weights_file(weights: str) -> str:
    """The file of ``--weights``: itself, the last of a run, that of a saved model, or one of the hub's cache.

    Raises:
        UsageError: a folder has no weights; or see ``errseg.hub.fetch``.
    """
    from errseg.api.loading import local_path
    from errseg.checkpoint import weights_in

    path = local_path(weights)
    return weights_in(path) if Path(path).is_dir() else path
