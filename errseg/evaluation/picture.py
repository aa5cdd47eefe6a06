"""A picture of the classes that a model confuses most. It stays readable with hundreds of classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from errseg.atomic import replacing

from .metrics import Confusion, worst_confusions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_confusions"]

PAIRS = 20  # pairs of classes in each half of the picture
NAME_LENGTH = 24


def draw_confusions(path: Path, matrix: np.ndarray, classes: Sequence[str], title: str, unit: str = "pixels") -> None:
    """Draw the worst confusions of a data set.

    The left half has those with the most pixels. The right half has those with the largest share of the true class,
    which lower mIoU most.

    Args:
        path: a PNG file.
        matrix: (N + 1, N + 1) confusion matrix, see ``metrics.py``.
        classes: N names.
        title: the title of the picture.
        unit: what the matrix counts.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # here: it is slow to import
    from matplotlib.figure import Figure

    by_pixels = worst_confusions(matrix, PAIRS)
    by_share = worst_confusions(matrix, PAIRS, by_share=True)
    counted = matrix[:-1, :-1]
    total = max(int(counted.sum()), 1)
    labels = short_names(classes)
    bars = max(len(by_pixels), 1)
    figure = Figure(figsize=(15, 1.5 + 0.28 * bars), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    wrong = 100 * (counted.sum() - counted.trace()) / total
    figure.suptitle(f"{title}: {wrong:.1f} % of the {unit} are given to a wrong class", fontsize=13)
    widths = [100 * pair.pixels / total for pair in by_pixels]
    notes = [f"{pair.share:.0f} % of the class" for pair in by_pixels]
    _bars(left, by_pixels, labels, widths, notes, "tab:blue")
    left.set(title=f"true → predicted, by {unit}", xlabel=f"% of all {unit}")
    notes = [f"{100 * pair.pixels / total:.2g} % of all {unit}" for pair in by_share]
    _bars(right, by_share, labels, [pair.share for pair in by_share], notes, "tab:orange")
    right.set(title="true → predicted, by share of the true class", xlabel=f"% of the true class's {unit}")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def short_names(classes: Sequence[str]) -> list[str]:
    """Names for a picture: the first synonym, cut if it is long. Classes of equal names get their id added."""
    names = []
    for name in classes:
        first = name.split(",")[0].strip() or name
        cut = first if len(first) <= NAME_LENGTH else f"{first[: NAME_LENGTH - 1]}…"
        names.append(cut.replace("$", r"\$"))  # matplotlib reads text between $ as a formula
    return [f"{name} ({i})" if names.count(name) > 1 else name for i, name in enumerate(names)]


def _bars(
    axes: "Axes", pairs: Sequence[Confusion], labels: list[str], widths: list[float], notes: list[str], colour: str
) -> None:
    """One bar for each pair, the worst on top, named "true class → predicted class"."""
    places = np.arange(len(pairs))
    axes.barh(places, widths, color=colour, height=0.72)
    axes.set_yticks(places, [f"{labels[pair.true]} → {labels[pair.predicted]}" for pair in pairs], fontsize=9)
    axes.set_ylim(max(len(pairs), 1) - 0.4, -0.6)
    longest = max(widths, default=1)
    axes.set_xlim(0, 1.3 * longest)
    for place, width, note in zip(places, widths, notes, strict=True):
        axes.text(width + 0.01 * longest, place, note, va="center", fontsize=8, color="0.35")
    axes.spines[["top", "right"]].set_visible(False)
    if not pairs:
        axes.text(0.5, 0.5, "nothing is given to a wrong class", transform=axes.transAxes, ha="center")
