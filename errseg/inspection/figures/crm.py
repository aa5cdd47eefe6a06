"""CRM's ranking: the names that it keeps, and the scores of all names."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from errseg.visualization import overlay

from ..arrays import Inspection
from .style import add_caption, counted, new_figure, plain_numbers, short, show_picture

__all__ = ["draw_crm", "ranks_to_show"]

WON, KEPT, DROPPED, CUT = "#0072b2", "#8ecae6", "#c4c4c4", "#d55e00"
MOST_BARS = 40
BEYOND = 8  # number of names shown after the cut
CURVE = 2.8  # height of the curve's panel, in inches


def draw_crm(inspection: Inspection) -> Figure:
    """Draw the scores of the names around the cut at K as bars (left), and of all names by rank as a curve (right)."""
    ranking = inspection.crm
    won = set(inspection.winners.tolist())
    kept = set(ranking.kept.tolist())
    ranks = ranks_to_show(len(ranking.scores), len(kept))
    height = max(0.9 + 0.135 * len(ranks), CURVE)
    figure = new_figure(height)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.25, 1), height_ratios=(CURVE, max(height - CURVE, 0.01)))
    left, right = figure.add_subplot(grid[:, 0]), figure.add_subplot(grid[0, 1])
    if height > 1.7 * CURVE:
        painted = overlay(inspection.image, inspection.labels, inspection.names)
        pictures = {"picture": inspection.image, "prediction": painted}
        for place, (title, picture) in zip(grid[1, 1].subgridspec(1, 2), pictures.items(), strict=True):
            show_picture(figure.add_subplot(place, anchor="N"), picture, title)
    order = ranking.order
    colours = [WON if index in won else KEPT if index in kept else DROPPED for index in order]
    positive = ranking.scores[ranking.scores > 0]
    floor = positive.min() / 3
    _bars(left, inspection, ranks, colours, floor)
    _curve(right, inspection, colours, floor)
    handles = [Patch(color=WON, label="wins pixels"), Patch(color=KEPT, label="kept, wins none")]
    if len(kept) < len(order):
        handles.append(Patch(color=DROPPED, label="dropped"))
    right.legend(handles=handles, frameon=False, loc="lower left", handlelength=1, handleheight=1)
    add_caption(figure, _caption(inspection, len(won), len(order) - len(positive)))
    return figure


def ranks_to_show(count: int, kept: int) -> list[int]:
    """The ranks, from 0, that get a bar: all up to a few after K, or the best ones and those around K."""
    last = min(count, kept + BEYOND)
    if last <= MOST_BARS:
        return list(range(last))
    around = 2 * BEYOND
    best = MOST_BARS - around
    return [*range(best), *range(last - around, last)]


def _bars(axes: Axes, inspection: Inspection, ranks: list[int], colours: list[str], floor: float) -> None:
    ranking, order, kept = inspection.crm, inspection.crm.order, len(inspection.crm.kept)
    labels = short(inspection.names)
    places, place = [], 0
    for previous, rank in zip([ranks[0] - 1, *ranks], ranks, strict=False):
        place += 1 if rank == previous + 1 else 2  # a gap where ranks are left out
        places.append(place)
    scores = np.maximum(ranking.scores[order[ranks]], floor)
    axes.barh(places, scores - floor, left=floor, color=[colours[rank] for rank in ranks], height=0.78)
    axes.set_yticks(places, [f"{labels[order[rank]]}  {rank + 1}" for rank in ranks], fontsize=6.5)
    axes.set(xscale="log", xlim=(floor, 1.3), ylim=(place + 0.7, 0.3), xlabel="CRM score (points per location)")
    for i in range(1, len(ranks)):
        middle, left_out = (places[i - 1] + places[i]) / 2, ranks[i] - ranks[i - 1] - 1
        if left_out:
            axes.text(floor * 1.1, middle, f"… {left_out} more", va="center", fontsize=6.5, color="0.4")
        if ranks[i] == kept:
            axes.axhline(middle, color=CUT, linewidth=1.2)
            axes.text(1.25, middle + 0.15, f"cut at K = {kept}", color=CUT, ha="right", va="top", fontsize=7)
    if ranking.threshold:
        axes.axvline(max(ranking.threshold, floor), color=CUT, linewidth=1.2, linestyle=":")
    plain_numbers(axes.xaxis)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _curve(axes: Axes, inspection: Inspection, colours: list[str], floor: float) -> None:
    ranking, order, kept = inspection.crm, inspection.crm.order, len(inspection.crm.kept)
    scores = ranking.scores[order]
    ranks = np.arange(1, len(order) + 1)
    some = scores > 0
    for colour, size in ((DROPPED, 5), (KEPT, 9), (WON, 16)):
        those = some & np.array([each == colour for each in colours])
        axes.scatter(ranks[those], scores[those], s=size, color=colour, linewidths=0)
    axes.set(xscale="log", yscale="log", xlabel="rank", ylabel="CRM score (points per location)")
    axes.set(xlim=(0.8, 1.25 * len(order)), ylim=(floor, 2))
    if kept < len(order):
        axes.axvline(kept + 0.5, color=CUT, linewidth=1.2)
        axes.text(kept + 0.5, 2, f" K = {kept}", color=CUT, fontsize=7, va="top")
    if ranking.threshold:
        at = max(ranking.threshold, floor)
        axes.axhline(at, color=CUT, linewidth=1.2, linestyle=":")
        axes.text(1.25 * len(order), at, f"{ranking.threshold:g} ", color=CUT, fontsize=7, ha="right", va="bottom")
    plain_numbers(axes.xaxis)
    plain_numbers(axes.yaxis)
    axes.spines[["top", "right"]].set_visible(False)


def _caption(inspection: Inspection, won: int, unscored: int) -> str:
    ranking, count = inspection.crm, len(inspection.names)
    kept = len(ranking.kept)
    share = ranking.scores[ranking.kept].sum() / ranking.scores.sum()
    text = f"CRM keeps {kept} of {count} names, which have {100 * share:.1f} % of the points; {won} of them win pixels."
    if ranking.threshold is not None:
        text += f" K fits the picture: names with {ranking.threshold:g} points per location, within bounds."
    elif kept == count:
        text = f"K = {ranking.num_classes} covers the vocabulary of {counted(count)}: CRM drops none; {won} of them win"
        text += " pixels."
    if unscored:
        are = "is never among the best and has" if unscored == 1 else "are never among the best and have"
        text += f" {counted(unscored)} {are} no points."
    return text
