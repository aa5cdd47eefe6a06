"""The decoder's time and multiply-adds over K, the number of names kept."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

from ..atomic import replacing
from ..errors import UsageError
from .rows import Row
from .tables import form_of, heading

__all__ = ["decoder_seconds", "draw_kept"]

BEFORE, AFTER = ("input", "text", "encoder"), "output"  # the parts around the decoder
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
WORK = "0.45"


def decoder_seconds(row: Row) -> float:
    """The time of the parts between the encoder and the output, in seconds."""
    return sum(seconds for name, seconds in row["parts_s"].items() if name not in (*BEFORE, AFTER))


def draw_kept(rows: Sequence[Row], path: str | Path) -> None:
    """Write a PNG: over K, the decoder's time (left, one line for each form and precision) and multiply-adds (right).

    Raises:
        UsageError: the rows are of one K, of several vocabularies, or have no times of parts.
    """
    rows = [row for row in rows if row["parts_s"] and row["decoder_gmacs"] is not None]
    if len({row["num_classes_kept"] for row in rows}) < 2 or len({row["vocabulary"] for row in rows}) > 1:
        raise UsageError(
            "A chart over K needs rows of several K and one vocabulary, with the times of parts; measure those."
        )
    figure, axes = plt.subplots(figsize=(6.4, 3.9), layout="constrained")
    lines = dict.fromkeys((form_of(row), row["precision"], row["batch"]) for row in rows)
    for colour, key in zip(COLOURS * len(lines), lines, strict=False):
        some = [row for row in rows if (form_of(row), row["precision"], row["batch"]) == key]
        some.sort(key=lambda row: row["num_classes_kept"])
        label = f"{key[0]} {key[1]}" + (f", batch {key[2]}" if len({each[2] for each in lines}) > 1 else "")
        kept = [row["num_classes_kept"] for row in some]
        axes.plot(
            kept, [decoder_seconds(row) for row in some], "o-", color=colour, markersize=4, label=f"time, {label}"
        )
        for row in some:
            if row["auto_threshold"] is not None:
                at = (row["num_classes_kept"], decoder_seconds(row))
                axes.annotate(
                    f"auto {row['auto_threshold']:g}", at, (-4, 8), textcoords="offset points", fontsize=8, ha="right"
                )
    work = {row["num_classes_kept"]: row["decoder_gmacs"] for row in rows if row["form"] == rows[-1]["form"]}
    right = axes.twinx()
    right.plot(sorted(work), [work[k] for k in sorted(work)], "s--", color=WORK, markersize=3, label="multiply-adds")
    right.set_ylim(bottom=0)
    right.set_ylabel("multiply-adds of the decoder (10\u2079)", color=WORK)
    axes.set(xlabel=f"names kept, of the {rows[0]['num_names']} of {rows[0]['vocabulary']}", ylabel="decoder (s)")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    handles = [*axes.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
    axes.legend(handles=handles, frameon=False, loc="upper left")
    axes.spines["top"].set_visible(False)
    right.spines["top"].set_visible(False)
    figure.suptitle(fill(heading(rows[0]).rstrip("."), 90), fontsize=8, color="#444444")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    plt.close(figure)
