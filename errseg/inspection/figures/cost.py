"""Cost maps: the cosine between every location and a name, at both scales (Eq. 3)."""

from matplotlib.figure import Figure

from errseg.visualization import overlay

from ..arrays import Inspection
from .style import MAPS, add_caption, close_gaps, counted, grid_height, new_figure, short, show_map, show_picture

__all__ = ["draw_cost"]

IN_A_ROW = 4  # number of names beside the picture


def draw_cost(inspection: Inspection) -> Figure:
    """Draw the picture and the cost maps of the names shown: a row for each scale, one colour scale for all maps."""
    maps, shown, picture = inspection.cost, inspection.shown, inspection.image
    scales, columns = list(maps), 1 + min(len(shown), IN_A_ROW)
    blocks = [shown[start : start + IN_A_ROW] for start in range(0, len(shown), IN_A_ROW)]
    rows = len(blocks) * len(scales)
    figure = new_figure(grid_height(picture, rows, columns, extra=0.3))
    axes = figure.subplots(rows, columns, squeeze=False)
    values = [maps[scale][list(shown)] for scale in scales]
    limits = {"vmin": min(x.min() for x in values), "vmax": max(x.max() for x in values)}
    labels = short(inspection.names, 22)
    image = None
    for block, ids in enumerate(blocks):
        for row, scale in enumerate(scales, block * len(scales)):
            _show_left(axes[row, 0], inspection, row)
            for place, index in enumerate(ids, 1):
                title = labels[index] if row == block * len(scales) else ""
                image = show_map(axes[row, place], maps[scale][index], picture, title, cmap=MAPS, **limits)
            axes[row, 1].set_ylabel(f"{scale}\nstride {scale[1:]}")
            for empty in axes[row, 1 + len(ids) :]:
                empty.set_visible(False)
    bar = figure.colorbar(image, ax=axes, location="right", fraction=0.02, pad=0.01, aspect=30)
    bar.set_label("cosine")
    bar.outline.set_visible(False)
    add_caption(
        figure,
        f"Cosines of the dense image embedding {' and '.join(scales)} with the text embeddings, "
        f"of {len(shown)} of {counted(len(inspection.names))}.",
    )
    close_gaps(figure, axes.flat)
    return figure


def _show_left(axes, inspection: Inspection, row: int) -> None:
    """The first column: the picture, then the prediction, then nothing."""
    if row == 0:
        show_picture(axes, inspection.image, "picture")
    elif row == 1:
        show_picture(axes, overlay(inspection.image, inspection.labels, inspection.names), "prediction")
    else:
        axes.set_visible(False)
