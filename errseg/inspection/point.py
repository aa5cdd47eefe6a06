"""The query point of the attention: read it from text, or from a click."""

import os
import sys
from typing import Any

import matplotlib
import numpy as np

from errseg.errors import UsageError

__all__ = ["click_point", "read_point"]


def read_point(text: str) -> tuple[int, int]:
    """``X,Y`` -> (x, y).

    Raises:
        UsageError: the text has another form.
    """
    try:
        x, y = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--point {text!r} is no point; give X,Y in whole pixels of the picture, or click.") from None
    return x, y


def click_point(picture: np.ndarray) -> tuple[int, int]:
    """Show a picture (H, W, 3) in a window, and wait for a click.

    Raises:
        UsageError: there is no display, matplotlib cannot open a window, or the window was closed without a click.
    """
    pyplot = _interactive_pyplot()
    figure, axes = pyplot.subplots(layout="constrained")
    height, width = picture.shape[:2]
    axes.imshow(picture, extent=(0, width, height, 0))
    axes.set(title="Click the query point of the attention.", xticks=[], yticks=[])
    clicks = figure.ginput(1, timeout=0)
    pyplot.close(figure)
    if not clicks:
        raise UsageError("--point click: the window was closed without a click; click, or give X,Y.")
    x, y = clicks[0]
    return min(max(int(x), 0), width - 1), min(max(int(y), 0), height - 1)


def _interactive_pyplot() -> Any:
    """pyplot with a backend that opens windows."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UsageError("--point click needs a display, and there is none; give X,Y in pixels of the picture.")
    from matplotlib import pyplot

    for backend in ("QtAgg", "TkAgg", "GTK4Agg", "GTK3Agg", "MacOSX", "WXAgg"):
        try:
            pyplot.switch_backend(backend)
            return pyplot
        except ImportError:
            continue
    raise UsageError(
        f"--point click: matplotlib {matplotlib.__version__} finds no toolkit for a window; "
        "install PyQt6 (pip install PyQt6), or give X,Y."
    )
