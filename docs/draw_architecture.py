"""Draw docs/architecture.png, the figure of docs/architecture.md: python docs/draw_architecture.py"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

WIDTH, HEIGHT = 16, 9  # units of the coordinates below
DATA, SYSTEM, RECORD, USE = "#dce9f7", "#fde5c8", "#e6e0f3", "#dff0da"  # fill of the boxes
LINE, GREY = "#333333", "#777777"
BOXES = {  # name: (left, bottom, width, height, title, second line, fill)
    "picture": (0.3, 6.9, 2.3, 1.1, "picture file", "JPEG, PNG, …", DATA),
    "reader": (3.3, 6.9, 2.3, 1.1, "reader", "api/images, data/mapper\nuint8 RGB (3, H, W)", DATA),
    "views": (6.3, 6.9, 2.3, 1.1, "views", "modeling/views\n(B, 3, R, R), normalised", DATA),
    "names": (0.3, 4.9, 2.3, 1.1, "names", "what a user types,\nor a label set", DATA),
    "prompts": (3.3, 4.9, 2.3, 1.1, "prompts, tokens", "model.tokenize", SYSTEM),
    "text": (6.3, 4.9, 2.3, 1.1, "text embeddings", "model.encode_names\n(T, D), cached", SYSTEM),
    "segment": (
        9.3,
        5.5,
        2.6,
        1.9,
        "segment",
        "image encoder and head;\nin training: losses,\nfor the engine",
        SYSTEM,
    ),
    "prediction": (12.8, 5.5, 2.9, 1.9, "Prediction", "scores (B, K, h, w)\nkept (B, K)\ntotal, shown", DATA),
    "label_map": (12.8, 3.1, 2.9, 1.3, "label map, confidence", "modeling/prediction\n(H, W) each", DATA),
    "result": (12.8, 1.2, 2.9, 1.1, "Result", "api: load, Segmenter", USE),
    "leaves": (9.3, 0.3, 2.6, 1.3, "batch, web, cli", "overlay, labels, JSON", USE),
    "evaluation": (9.3, 3.1, 2.6, 1.3, "evaluation", "confusion matrix,\nevaluation.json", USE),
    "export": (9.3, 1.8, 2.6, 1.1, "export", "segment as ONNX, .pt2", USE),
    "record": (3.3, 0.5, 5.3, 3.2, "", "", RECORD),
    "config": (0.3, 2.1, 2.3, 1.3, "configuration", "YAML, KEY VALUE pairs;\nnames the system", RECORD),
    "weights": (0.3, 0.5, 2.3, 1.1, "weights file", "ours, or released", RECORD),
}
ARROWS = [  # from, to: the side of each box (l, r, t, b), its name
    ("r picture", "l reader"),
    ("r reader", "l views"),
    ("r names", "l prompts"),
    ("r prompts", "l text"),
    ("r views", "l segment"),
    ("r text", "l segment"),
    ("r segment", "l prediction"),
    ("b prediction", "t label_map"),
    ("b label_map", "t result"),
    ("l label_map", "r evaluation"),
    ("l result", "r leaves"),
    ("r config", "l record"),
    ("r weights", "l record"),
]
RECORD_LINES = (
    "System: what errseg knows of a system",
    "meta_architecture, add_config, key_ranges",
    "num_kept: how many names are kept",
    "parts: the report of the parameters",
    "released: recognise, configure, rename",
    "taps, stages, panels: what can be looked at",
    "plain_form, exportable",
    "cannot: what is refused, in one sentence",
)


def main() -> None:
    figure = plt.figure(figsize=(WIDTH, HEIGHT))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.axis("off")
    axes.text(0.3, 8.45, "From a picture and names to a label map", fontsize=17, weight="bold")
    for box in BOXES.values():
        draw_box(axes, *box)
    for start, end in ARROWS:
        arrow(axes, side(start), side(end))
    left, bottom, width, height = BOXES["record"][:4]
    for number, line in enumerate(RECORD_LINES):
        weight = "normal" if number else "bold"
        axes.text(left + 0.15, bottom + height - 0.3 - 0.37 * number, line, fontsize=11, weight=weight, va="center")
    # The record gives the class of the model, and whoever uses a model asks its record
    dashed(
        axes,
        (left + 1.2, bottom + height),
        (left + 1.2, 4.9),
        "build: the model of the\nconfiguration's system",
        (4.65, 4.3),
    )
    dashed(axes, (left + 4.9, bottom + height), (9.6, 5.5), "", None)
    for end, start in (((8.6, 3.3), (9.3, 3.6)), ((8.6, 2.35), (9.3, 2.35)), ((8.6, 1.2), (9.3, 1.0))):
        dashed(axes, start, end, "", None)
    axes.text(8.95, 2.05, "ask", fontsize=10, color=GREY, ha="center", va="center")
    legend(axes)
    figure.savefig(Path(__file__).with_name("architecture.png"), dpi=80, bbox_inches="tight", pad_inches=0.1)


def draw_box(axes, left, bottom, width, height, title, text, fill) -> None:
    """A box with a bold title, and up to three lines below it."""
    style = "round,pad=0,rounding_size=0.1"
    axes.add_patch(FancyBboxPatch((left, bottom), width, height, boxstyle=style, facecolor=fill, edgecolor=LINE))
    middle = left + width / 2
    axes.text(middle, bottom + height - 0.27, title, fontsize=13, weight="bold", ha="center", va="center")
    axes.text(middle, bottom + (height - 0.4) / 2, text, fontsize=10, ha="center", va="center", linespacing=1.25)


def side(place: str) -> tuple[float, float]:
    """The middle of a box's side: "r views" is the right one of the views."""
    which, name = place.split()
    left, bottom, width, height = BOXES[name][:4]
    x = {"l": left, "r": left + width}.get(which, left + width / 2)
    y = {"t": bottom + height, "b": bottom}.get(which, bottom + height / 2)
    return x, y


def arrow(axes, start, end) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=18, color=LINE, lw=1.6, shrinkA=1))


def dashed(axes, start, end, text, place) -> None:
    style = {"arrowstyle": "-|>", "mutation_scale": 14, "linestyle": (0, (4, 3))}
    axes.add_patch(FancyArrowPatch(start, end, color=GREY, lw=1.3, **style))
    if text:
        axes.text(*place, text, fontsize=10, color=GREY, va="center")


def legend(axes) -> None:
    labels = ((DATA, "shared by all systems"), (SYSTEM, "a system's own"), (RECORD, "records"), (USE, "users"))
    for number, (fill, label) in enumerate(labels):
        x = (8.0, 10.5, 12.7, 14.2)[number]
        axes.add_patch(FancyBboxPatch((x, 8.4), 0.25, 0.2, boxstyle="square,pad=0", facecolor=fill, edgecolor=LINE))
        axes.text(x + 0.35, 8.5, label, fontsize=10, va="center")


if __name__ == "__main__":
    main()
