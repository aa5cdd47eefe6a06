"""The time of each part as a bar chart."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

from ..atomic import replacing
from .rows import Row
from .tables import form_of, heading, parts_of

# Colours that colour-blind readers can tell apart (Okabe and Ito, then Tol); black and grey for parts that are no stage
COLOURS = {
    "input": "#b8b8b8", "text": "#56b4e9", "output": "#5f5f5f", "loss": "#5f5f5f", "backward": "#e69f00",
    "optimizer": "#222222",
}  # fmt: skip
STAGE_COLOURS = ("#0072b2", "#f0e442", "#cc79a7", "#d55e00", "#009e73", "#332288", "#999933", "#882255", "#44aa99")
LEAST_LABELLED = 0.045  # a part gets a label from this share of the widest bar on


def draw(rows: Sequence[Row], path: str | Path) -> None:
    """Write a PNG with a bar for each row, split by parts; the bar of a row without parts is grey."""
    rows = [row for row in rows if row["latency_s"]]
    widest = max(row["latency_s"] for row in rows)
    unit, factor = ("s", 1.0) if widest >= 1 else ("ms", 1e3)
    colours = colours_of(parts_of(rows))
    several_batches = len({row["batch"] for row in rows}) > 1
    figure, axes = plt.subplots(figsize=(10, 1.9 + 0.42 * len(rows)), layout="constrained")
    for place, row in enumerate(rows):
        parts = row["parts_s"] or {"": row["latency_s"]}
        left = 0.0
        for name, seconds in parts.items():
            colour = colours.get(name, "#dddddd")
            axes.barh(place, seconds * factor, left=left * factor, color=colour, edgecolor="white", height=0.74)
            if seconds > LEAST_LABELLED * widest:
                centre = (left + seconds / 2) * factor
                text = f"{seconds * factor:.{2 if unit == 's' else 1}f}"
                axes.text(centre, place, text, ha="center", va="center", fontsize=8, color=_ink(colour))
            left += seconds
        text = f" {row['latency_s'] * factor:.3g} {unit}" + (f"  ({row['ratio']:.2f} ×)" if row["ratio"] else "")
        axes.text(left * factor, place, text, va="center", fontsize=9)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in colours.values()]
    axes.legend(
        handles,
        list(colours),
        ncols=max(len(colours), 1),
        loc="lower center",
        bbox_to_anchor=(0.45, 1.0),
        frameon=False,
    )
    labels = [_label(row, several_batches) for row in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, widest * factor * 1.18)
    axes.set_xlabel({"s": "seconds", "ms": "milliseconds"}[unit])
    figure.suptitle(heading(rows[0]).rstrip("."), fontsize=9, color="#444444")
    axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    plt.close(figure)


def colours_of(parts: Sequence[str]) -> dict[str, str]:
    """A colour for each part: its fixed one, or the next of the stages' colours."""
    stages = [name for name in parts if name not in COLOURS]
    given = dict(zip(stages, cycle(STAGE_COLOURS), strict=False))
    return {name: COLOURS.get(name) or given[name] for name in parts}


def _label(row: Row, with_batch: bool) -> str:
    label = f"{row['vocabulary']}\n{form_of(row)} {row['precision']}"
    if "ssr" in row:  # Table X
        label += "".join(f", {name.upper()}" for name in ("ssr", "csr") if row[name]) or ", neither"
    return f"{label}, batch {row['batch']}" if with_batch else label


def _ink(colour: str) -> str:
    """Black or white: the one with more contrast on a colour."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "white"
