"""Which model it is when nobody says: the quickstart's."""

import sys
from pathlib import Path

from errseg.errors import UsageError

__all__ = ["QUICKSTART", "default_weights"]

QUICKSTART = Path("output/mini/errseg")  # a run of scripts/quickstart.sh, in the working folder or in the repository
ROOT = Path(__file__).resolve().parents[2]


def default_weights(weights: str | None, config_file: str | None) -> tuple[str, str | None]:
    """The first two arguments of :func:`errseg.load`, for the --weights and --config-file of a command line.

    With neither, they are the quickstart's model, and a line says so.

    Raises:
        UsageError: there is neither, and no quickstart's model.
    """
    if config_file:
        return config_file, weights or None
    if weights:
        return weights, None
    for run in (QUICKSTART, ROOT / QUICKSTART):
        if (run / "model_final.pth").is_file() and (run / "config.yaml").is_file():
            note = f"No --weights given: this is the quickstart's model, {run}, which knows only drawn shapes."
            print(note, file=sys.stderr)
            return str(run), None
    raise UsageError(
        "no --weights given, and no quickstart's model at output/mini/errseg; download the authors' release from "
        "huggingface.co/lchen1019/ERR-Seg and give it as --weights FILE, or run scripts/quickstart.sh."
    )
