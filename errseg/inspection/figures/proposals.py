"""The proposals: the largest masks over the picture, with their names."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from errseg.visualization import overlay

from ..arrays import Inspection, Proposals
from .style import add_caption, close_gaps, counted, grid_height, new_figure, short, show_masked, show_picture

__all__ = ["draw_proposals", "title_of"]

IN_A_ROW = 5
MOST = 13  # proposals; with the picture and the prediction, three rows


def draw_proposals(inspection: Inspection) -> Figure:
    """Draw the picture, the prediction, and the proposals with the largest areas, each with its most probable name."""
    proposals, picture, names = inspection.proposals, inspection.image, inspection.names
    order = proposals.order[:MOST].tolist()
    rows = -(-(2 + len(order)) // IN_A_ROW)
    figure = new_figure(grid_height(picture, rows, IN_A_ROW, extra=0.4))
    axes = list(figure.subplots(rows, IN_A_ROW, squeeze=False).flat)
    show_picture(axes[0], picture, "picture")
    show_picture(axes[1], overlay(picture, inspection.labels, names), "prediction")
    for panel, index in zip(axes[2:], order, strict=False):
        show_masked(panel, picture, proposals.masks[index], proposals.cell, title_of(proposals, names, index))
        panel.set_xlabel(f"proposal {index}, {100 * proposals.areas[index]:.1f} %", fontsize=7, labelpad=2)
    for empty in axes[2 + len(order) :]:
        empty.set_visible(False)
    nameless = int((proposals.best == len(names)).sum())
    add_caption(
        figure,
        f"The {len(order)} largest of {counted(len(proposals.masks), 'proposal')}, each with its most probable name "
        "and the probability of it. Below: the area, which is the mean of the mask's probabilities. Of all proposals, "
        f"{nameless} most probably show no object, that is, none of {counted(len(names))}.",
    )
    close_gaps(figure, axes)
    return figure


def title_of(proposals: Proposals, names: Sequence[str], index: int) -> str:
    """The most probable name of a proposal, and its probability."""
    best = int(proposals.best[index])
    name = short([names[best]], 16)[0] if best < len(names) else "no object"
    return f"{name} {proposals.classes[index, best]:.2f}"
