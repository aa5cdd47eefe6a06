"""Convert a checkpoint: released names to ours or back, torch file to safetensors.

  errseg convert released.pth errseg_base.safetensors

IN is a released checkpoint or one of ours. The ending of OUT chooses its kind:
.safetensors, or .pth. Only the weights are written.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from errseg.errors import UsageError

from .parser import Parser

if TYPE_CHECKING:
    from torch import Tensor

ENDINGS = (".safetensors", ".pth")


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("source", metavar="IN", help="a checkpoint (*.pth, *.pt, *.bin, *.safetensors)")
    add("out", metavar="OUT", type=Path, help="the file to write (*.safetensors, *.pth)")
    add("--to", choices=("ours", "released"), default="ours", help="the names that the weights get (default: ours)")
    add("--overwrite", action="store_true", help="replace OUT if it exists")


def run(args: argparse.Namespace) -> int:
    """Read, rename, check, write."""
    from errseg.checkpoint import load_state_dict_file

    if args.out.suffix.lower() not in ENDINGS:
        raise UsageError(f"OUT is {args.out}; end it with {' or '.join(ENDINGS)}: the ending chooses the kind of file.")
    if args.out.exists() and not args.overwrite:
        raise UsageError(f"{args.out} exists already; give another path, or add --overwrite.")
    weights, names = renamed(load_state_dict_file(args.source)["model"], args.source, args.to)
    try:
        write(weights, args.out)
    except OSError as error:
        raise UsageError(f"{args.out} cannot be written ({error}); make room, or give another path.") from error
    megabytes = os.path.getsize(args.out) / 1e6
    print(f"{args.out}: {len(weights)} tensors under {names}, {megabytes:.1f} MB")
    return 0


def renamed(weights: "dict[str, Tensor]", source: str, to: str) -> "tuple[dict[str, Tensor], str]":
    """Weights under our names or the released ones, and a phrase that says which.

    Args:
        weights: under released names or ours.
        source: the path of their file, for messages.
        to: "ours" or "released".

    Raises:
        UsageError: a released checkpoint is incomplete, or there is no released model of this kind.
    """
    from errseg.checkpoint import from_official, is_official

    try:
        if is_official(weights):
            ours = from_official(weights)  # also checks them
            return (ours, "errseg's names") if to == "ours" else (weights, "the released names, as before")
        if to == "ours":
            return weights, "the names that they had"
        if found := as_released(weights):
            return found
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from error
    first = next(iter(weights), "none")
    raise UsageError(f"{source} is not a checkpoint of a system with released weights: its first key is {first}.")


def as_released(weights: "dict[str, Tensor]") -> "tuple[dict[str, Tensor], str] | None":
    """Our weights under released names, and a phrase that says which; None where no system has such names.

    Raises:
        UsageError: they are not a whole released model. The message is of the system that renames most of them.
    """
    from errseg.checkpoint import from_official, is_official, to_official
    from errseg.modeling import systems

    failures = []
    for system in systems():
        if system.released is None:
            continue
        released = {to_official(key, system.meta_architecture): value for key, value in weights.items()}
        if not is_official(released):
            continue
        try:
            from_official(released)
        except UsageError as error:
            failures.append((len(weights.keys() & released.keys()), str(error)))
        else:
            return released, f"the released names of {system.name}"
    if failures:
        raise UsageError(min(failures)[1])
    return None


def write(weights: "dict[str, Tensor]", path: Path) -> None:
    """Write weights; the file appears complete or not at all."""
    import torch

    from errseg.atomic import replacing
    from errseg.weight_files import write_safetensors

    if path.suffix.lower() == ".safetensors":
        return write_safetensors(weights, path)
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.save({"model": weights}, file)
