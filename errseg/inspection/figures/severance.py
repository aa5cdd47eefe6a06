"""What patch severance does to the dense embedding: its similarity with names and with one location, on and off."""

from matplotlib.figure import Figure

from ..arrays import Inspection
from .style import (
    MAPS,
    SEQUENTIAL,
    add_caption,
    close_gaps,
    grid_height,
    in_two_lines,
    mark,
    new_figure,
    show_map,
    show_picture,
)

__all__ = ["draw_severance"]

MOST = 4  # names beside the picture
LETTERS = 13  # of a line of a title, above the narrowest panels
OFF = "none"


def draw_severance(inspection: Inspection) -> Figure:
    """Draw a row for each mode: the picture, the cosines with the location of the point, and those with names."""
    severance, picture, shown = inspection.severance, inspection.image, inspection.shown[:MOST]
    modes, labels = list(severance.names), in_two_lines(inspection.names, LETTERS)
    columns = 2 + len(shown)
    figure = new_figure(grid_height(picture, len(modes), columns, extra=0.35))
    axes = figure.subplots(len(modes), columns, squeeze=False)
    limits = _limits(severance.names[mode][list(shown)] for mode in modes) | {"cmap": MAPS}
    places = _limits(severance.place.values()) | {"cmap": SEQUENTIAL}
    image = of_place = None
    for row, mode in zip(axes, modes, strict=True):
        first = mode == modes[0]
        show_picture(row[0], picture, "picture" if first else "")
        row[0].set_xlabel("CLIP's attention" if mode == OFF else f"severed: {mode}", fontsize=7, labelpad=2)
        title = "at the point" if first else ""
        of_place = show_map(row[1], severance.place[mode], picture, title, severance.cell, **places)
        for panel, name in zip(row[2:], shown, strict=True):
            title = labels[name] if first else ""
            image = show_map(panel, severance.names[mode][name], picture, title, severance.cell, **limits)
        for panel in row[:2]:
            mark(panel, inspection.point)
    for drawn, some in ((of_place, axes[:, 1]), (image, axes[:, 2:])):
        bar = figure.colorbar(drawn, ax=some, location="right", fraction=0.03, pad=0.02, aspect=30)
        bar.set_label("cosine")
        bar.outline.set_visible(False)
    add_caption(
        figure,
        "Cosines of the dense embedding with its own value at the point "
        f"{inspection.point[0]}, {inspection.point[1]} (cross), and with the text embeddings of "
        f"{len(shown)} of {len(inspection.names)} names: with the model's patch severance ({modes[0]}), and with the "
        "attention of CLIP in every block.",
    )
    close_gaps(figure, axes.flat)
    return figure


def _limits(maps) -> dict[str, float]:
    found = list(maps)
    return {"vmin": min(x.min() for x in found), "vmax": max(x.max() for x in found)}
