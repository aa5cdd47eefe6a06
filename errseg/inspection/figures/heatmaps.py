"""Where the classifier looks for a proposal, before and after the proposal's mask multiplies its attention."""

from matplotlib.figure import Figure

from ..arrays import Inspection
from .proposals import title_of
from .style import SEQUENTIAL, add_caption, close_gaps, grid_height, mark, new_figure, show_map, show_masked

__all__ = ["draw_heatmaps"]

NARROWEST, WIDEST = 1.3, 2.2  # width of a column in inches; tall pictures get narrow columns
MOST = 4  # rows
TITLES = ("mask", "before the mask", "after the mask")


def draw_heatmaps(inspection: Inspection) -> Figure:
    """Draw a row for each proposal: its mask, and the heatmap of its anchor before and after the mask.

    The first row is the proposal that adds most to the winning name's score at the point. The others are the strongest
    proposals of the names shown.
    """
    heatmaps, picture, point = inspection.heatmaps, inspection.image, inspection.point
    proposals = heatmaps.proposals
    chosen = list(heatmaps.to_show(point, int(inspection.labels[point[1], point[0]]), inspection.shown))[:MOST]
    width = 3 * min(max(2.5 * picture.shape[1] / picture.shape[0], NARROWEST), WIDEST)
    figure = new_figure(grid_height(picture, len(chosen), 3, width, 0.45), width)
    axes = figure.subplots(len(chosen), 3, squeeze=False)
    for panel, title in zip(axes[0], TITLES, strict=True):
        panel.set_title(title)
    for row, index in zip(axes, chosen, strict=True):
        before, after = heatmaps.before[index], heatmaps.after[index]
        show_masked(row[0], picture, proposals.masks[index], proposals.cell, row[0].get_title())
        limits = {"vmin": 0, "vmax": before.max(), "cmap": SEQUENTIAL}
        for panel, values in zip(row[1:], (before, after), strict=True):
            show_map(panel, values, picture, panel.get_title(), proposals.cell, **limits)
            mark(panel, point)
        mark(row[0], point)
        title = title_of(proposals, inspection.names, index)
        row[0].set_xlabel(f"proposal {index}\n{title}", fontsize=7, labelpad=2)
        row[1].set_xlabel(f"highest {before.max() * before.size:.1f} × uniform", fontsize=7, labelpad=2)
        row[2].set_xlabel(f"{100 * after.sum() / before.sum():.1f} % stay", fontsize=7, labelpad=2)
    add_caption(
        figure,
        "Heatmaps of the classification anchors, mean of the heads, before and after the mask multiplies them; both of "
        "a row have one scale. First row: the proposal that adds most to the name that wins at the point "
        f"{point[0]}, {point[1]} (cross); then the strongest proposals of the names shown.",
    )
    close_gaps(figure, axes.flat)
    return figure
