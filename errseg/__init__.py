"""errseg: ERR-Seg, an efficient open-vocabulary semantic segmenter.

Importing errseg makes ``detectron2`` importable (the installed one, else the small one in ``errseg/compat``) and
registers the model, its encoders and head, and the data sets.
"""

import importlib.util
import os
import sys
from pathlib import Path

__version__ = "0.1.0"


def _provide_detectron2() -> None:
    """Put ``errseg/compat`` on the import path where Detectron2 is not installed.

    ``ERRSEG_DETECTRON2=real`` insists on the installed one, ``compat`` on ours.

    Raises:
        ImportError: the variable asks for a Detectron2 that is not there, or has another value.
    """
    compat = str(Path(__file__).parent / "compat")
    choice = os.environ.get("ERRSEG_DETECTRON2", "")
    if choice not in ("", "real", "compat"):
        raise ImportError(
            f"ERRSEG_DETECTRON2={choice!r} is not one of 'real' and 'compat'; unset it to use what is installed."
        )
    if choice == "compat":
        if compat not in sys.path:
            sys.path.insert(0, compat)
    elif not _is_installed("detectron2"):
        if choice == "real":
            raise ImportError(
                "ERRSEG_DETECTRON2=real, but Detectron2 is not installed; install it from source, or unset it."
            )
        sys.path.append(compat)


def _is_installed(package: str) -> bool:
    """Whether a package can be imported; a mere folder of that name, such as a clone beside the script, is none."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None


_provide_detectron2()

from . import checkpoint, config  # noqa: E402
from .api import Result, Segmenter, load  # noqa: E402
from .config import get_cfg  # noqa: E402
from .data import register_all  # noqa: E402
from .mini import register_mini  # noqa: E402
from .modeling import build_model  # noqa: E402  registers the model

register_all()
register_mini()

__all__ = ["Result", "Segmenter", "build_model", "checkpoint", "config", "get_cfg", "load"]
