"""errseg: open-vocabulary semantic segmentation by published systems: ERR-Seg, DeOP, SED, CAT-Seg.

Importing errseg makes ``detectron2`` importable: the installed one, or else the small one in ``errseg/compat``. It also
registers the models and the data sets. The command ``errseg`` registers them only when it needs them, so that its help
does not wait for torch.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .version import __version__

__all__ = ["Result", "Segmenter", "__version__", "build_model", "checkpoint", "config", "get_cfg", "load"]

SHIMS = (  # the scripts of tools/ that run a command of errseg
    *("benchmark", "check_datasets", "check_parity", "compare_runs", "doctor", "export", "fuzz", "predict"),
    *("pretrain_clip", "render_predictions", "visualize", "web"),
)


def _provide_detectron2() -> None:
    """Put ``errseg/compat`` on the import path where Detectron2 is not installed.

    ``ERRSEG_DETECTRON2=real`` requires the installed one, ``compat`` the one of errseg.

    Raises:
        ImportError: the variable has another value, or requires a Detectron2 that is not installed.
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
    """Whether a package can be imported; a folder of that name without a package, such as a clone, does not count."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None


def _is_command() -> bool:
    """Whether Python was started as ``python -m errseg``, as the console script, or as a script that runs a command.

    A process that multiprocessing spawns is not such a command. It has its parent's ``sys.argv``, but not
    ``sys.orig_argv``.
    """
    started = sys.orig_argv[-len(sys.argv)] if 0 < len(sys.argv) <= len(sys.orig_argv) else ""
    name, folder = Path(started).stem, Path(started).absolute().parent.resolve()
    checkout = Path(__file__).resolve().parents[1]
    return name == "errseg" or folder == checkout / "datasets" or (name in SHIMS and folder == checkout / "tools")


_provide_detectron2()

if TYPE_CHECKING or not _is_command():
    from .everything import Result, Segmenter, build_model, checkpoint, config, get_cfg, load


def __getattr__(name: str) -> Any:
    """The public names, if they were not imported with the package."""
    if name in __all__:
        from . import everything

        return getattr(everything, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
