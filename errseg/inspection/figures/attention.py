"""SFM's attention from a location, with and without CRM (Fig. 2), and CFM's attention among classes."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from errseg.errors import UsageError

from ..arrays import ClassAttention, Inspection, SpatialAttention
from .style import (
    MAPS,
    SEQUENTIAL,
    add_caption,
    close_gaps,
    counted,
    grid_height,
    mark,
    new_figure,
    short,
    show_map,
    show_picture,
)

__all__ = ["draw_class_attention", "draw_spatial_attention", "of_head"]

NARROWEST, WIDEST = 1.7, 2.4  # width of a panel in inches; tall pictures get narrow panels
MOST_ROWS, MOST_COLUMNS = 8, 12  # classes of the matrix


def of_head(weights: np.ndarray, head: int | None) -> np.ndarray:
    """The attention of one head (from 1), or the mean of all heads (None): (..., heads, i, j) -> (..., i, j).

    Raises:
        UsageError: there is no such head.
    """
    count = weights.shape[-3]
    if head is None:
        return weights.mean(-3)
    if not 1 <= head <= count:
        raise UsageError(f"head {head}: the layer has the heads 1 to {count}; give one of them, or mean.")
    return weights[..., head - 1, :, :]


def draw_spatial_attention(inspection: Inspection, head: int | None = None) -> Figure:
    """Draw a row for each name shown: the picture with the point, and the attention with and without CRM.

    Attention is drawn as a multiple of uniform attention, where all cells have the same share.
    """
    attention, picture = inspection.attention, inspection.image
    runs = [run for run in (attention.spatial, attention.spatial_all) if run is not None]
    names, labels = runs[-1].classes, short(inspection.names, 20)
    maps = [{index: of_head(w, head) for index, w in zip(run.classes, run.weights, strict=True)} for run in runs]
    columns = 1 + len(runs)
    column = min(max(3 * picture.shape[1] / picture.shape[0], NARROWEST), WIDEST)
    width, break_line = column * columns, column < WIDEST
    figure = new_figure(grid_height(picture, len(names), columns, width, 0.5), width)
    axes = figure.subplots(len(names), columns, squeeze=False)
    highest = max(each.max() * each.size for found in maps for each in found.values())
    titles = _titles(inspection)
    image = None
    for row, index in enumerate(names):
        show_picture(axes[row, 0], picture, "picture" if row == 0 else "")
        axes[row, 0].set_xlabel(labels[index], labelpad=2)  # horizontal: beside a flat picture there is no room
        for place, (run, found) in enumerate(zip(runs, maps, strict=True), 1):
            panel = axes[row, place]
            title = titles[place - 1] if row == 0 else ""
            if index in found:
                values = found[index] * found[index].size
                limits = {"vmin": 0, "vmax": highest, "cmap": SEQUENTIAL}
                image = show_map(panel, values, picture, title, run.cell, **limits)
                reach = f"reach {_length(run.mean_distance(found[index]), picture)}"
                panel.set_xlabel(reach.replace(" (", "\n(") if break_line else reach, labelpad=2, fontsize=7)
            else:
                show_map(panel, np.ones((1, 1)), picture, title, vmin=0, vmax=1.2, cmap="gray")
                panel.text(0.5, 0.5, "dropped by CRM", transform=panel.transAxes, ha="center", va="center")
        for panel in axes[row]:
            _outline(panel, inspection.labels == index)
            mark(panel, inspection.point)
    bar = figure.colorbar(image, ax=axes, location="right", fraction=0.03, pad=0.01, aspect=30)
    bar.set_label("attention / uniform attention")
    bar.outline.set_visible(False)
    add_caption(figure, _caption(inspection, runs[0], head))
    close_gaps(figure, axes.flat)
    return figure


def _titles(inspection: Inspection) -> tuple[str, str]:
    attention, count = inspection.attention, len(inspection.names)
    if attention.spatial_all is None and attention.classes_all is None:
        return ("the only name" if count == 1 else f"all {count} names"), ""
    return f"with CRM: K = {len(inspection.kept)}", f"without CRM: all {count} names"


def _caption(inspection: Inspection, run: SpatialAttention, head: int | None) -> str:
    attention = inspection.attention
    uniform = run.mean_distance(np.ones(run.weights.shape[-2:]))
    text = (
        f"SFM's attention in layer {attention.layer} of {attention.num_layers}, {_head(run.weights, head)}, from the "
        f"point {inspection.point[0]}, {inspection.point[1]} (cross). Reach: mean distance of the attention from the "
        f"point; of uniform attention {_length(uniform, inspection.image)}. Outline: where the name wins."
    )
    if attention.layer == 1 and attention.spatial_all is not None:
        text += " In layer 1 no name has seen the others yet, so CRM makes no difference."
    return text


def _length(pixels: float, picture: np.ndarray) -> str:
    return f"{pixels:.0f} px ({100 * pixels / math.hypot(*picture.shape[:2]):.0f} % of the diagonal)"


def _head(weights: np.ndarray, head: int | None) -> str:
    return f"mean of {weights.shape[-3]} heads" if head is None else f"head {head} of {weights.shape[-3]}"


def _outline(axes: Axes, mask: np.ndarray) -> None:
    if mask.any() and not mask.all():
        rows, columns = (np.arange(size) + 0.5 for size in mask.shape)
        for colour, width in (("black", 1.4), ("white", 0.7)):
            axes.contour(columns, rows, mask, levels=[0.5], colors=colour, linewidths=width)


def draw_class_attention(inspection: Inspection, head: int | None = None, at_point: bool = False) -> Figure:
    """Draw matrices, with and without CRM: how much the largest names (rows) attend to others (columns), in per cent.

    Args:
        inspection: has attention.
        head: from 1; None: the mean of all heads.
        at_point: the attention at the location of the point; False: the mean over all locations.
    """
    attention, labels = inspection.attention, short(inspection.names)
    runs = [run for run in (attention.classes, attention.classes_all) if run is not None]
    found = [of_head(run.at_point if at_point else run.mean, head) for run in runs]
    rows = inspection.winners[:MOST_ROWS]
    columns = _columns(runs[0], found[0], rows)
    shares = [_shares(run, weights, rows, columns) for run, weights in zip(runs, found, strict=True)]
    others = any(len(run.classes) > len(columns) for run in runs)
    figure = new_figure(0.215 * len(rows) + 1.75, 1.6 + 2.9 * len(runs))
    axes = figure.subplots(1, len(runs), squeeze=False, sharey=True)[0]
    highest = 100 * max(share[:, : len(columns)].max() for share in shares)
    titles = _titles(inspection)
    image = None
    for panel, share, run, title in zip(axes, shares, runs, titles, strict=False):
        image = panel.imshow(100 * share[:, : len(columns) + others], cmap=MAPS, vmin=0, vmax=highest, aspect="auto")
        rest = len(run.classes) - len(columns)
        ticks = [labels[index] for index in columns] + ([counted(rest, "other")] if others else [])
        panel.set_xticks(range(len(ticks)), ticks, rotation=45, ha="right", rotation_mode="anchor")
        panel.set_title(title)
        _numbers(panel, 100 * share[:, : len(ticks)], highest)
        panel.spines[:].set_visible(False)
        panel.tick_params(length=0)
        if others:
            panel.axvline(len(columns) - 0.5, color="white", linewidth=2)
    axes[0].set_yticks(range(len(rows)), [labels[index] for index in rows])
    extend = "max" if others else "neither"
    bar = figure.colorbar(image, ax=axes, location="right", fraction=0.03, pad=0.01, aspect=20, extend=extend)
    bar.set_label("attention (%)")
    bar.outline.set_visible(False)
    add_caption(figure, _class_caption(inspection, runs, found, head, at_point))
    return figure


def _columns(run: ClassAttention, weights: np.ndarray, rows: np.ndarray) -> list[int]:
    """Ids of the columns: first those of the rows, then the classes that the rows attend to most."""
    slots = [int(np.flatnonzero(run.classes == index)[0]) for index in rows]
    most = run.classes[np.argsort(-weights[slots].mean(0), kind="stable")]
    own = rows.tolist()
    return (own + [index for index in most.tolist() if index not in own])[: max(MOST_COLUMNS, len(own))]


def _shares(run: ClassAttention, weights: np.ndarray, rows: np.ndarray, columns: list[int]) -> np.ndarray:
    """The shares (rows, columns + 1); the last column is the sum over all other classes."""
    slot = {index: place for place, index in enumerate(run.classes.tolist())}
    chosen = weights[[slot[index] for index in rows.tolist()]][:, [slot[index] for index in columns]]
    return np.concatenate([chosen, 1 - chosen.sum(1, keepdims=True)], axis=1).clip(0)


def _numbers(axes: Axes, values: np.ndarray, highest: float) -> None:
    for row, column in np.ndindex(*values.shape):
        value = values[row, column]
        ink = "black" if value > 0.6 * highest else "white"
        text = f"{value:.0f}" if value >= 9.5 else f"{value:.1f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=6, color=ink)


def _class_caption(
    inspection: Inspection, runs: list[ClassAttention], found: list[np.ndarray], head: int | None, at_point: bool
) -> str:
    attention, winners = inspection.attention, inspection.winners
    shares = [f"{100 * run.inside(weights, winners):.1f} %" for run, weights in zip(runs, found, strict=True)]
    where = f"at the point {inspection.point[0]}, {inspection.point[1]}" if at_point else "mean of all locations"
    text = (
        f"CFM's attention in layer {attention.layer} of {attention.num_layers}, {_head(runs[0].mean, head)}, {where}. "
    )
    if len(winners) == 1:
        text += f"The name that wins all pixels gives itself {shares[0]} of its attention"
    else:
        text += f"The {len(winners)} names that win pixels give themselves and each other {shares[0]} of their"
        text += " attention"
    return text + (f" with CRM, {shares[1]} without." if len(shares) > 1 else ".")
