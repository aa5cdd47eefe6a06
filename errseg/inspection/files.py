"""Write the figures of an inspection, and the arrays behind them, to files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from errseg.atomic import replacing
from errseg.errors import UsageError

from .arrays import Inspection, Proposals
from .figures import (
    FORMATS,
    draw_class_attention,
    draw_cost,
    draw_crm,
    draw_guidance,
    draw_heatmaps,
    draw_proposals,
    draw_severance,
    draw_spatial_attention,
    of_head,
    plain_style,
    save_figure,
)

__all__ = ["arrays_of", "figures_of", "save_inspection"]


def save_inspection(
    inspection: Inspection,
    folder: str | Path,
    stem: str,
    formats: Sequence[str] = ("png",),
    head: int | None = None,
    at_point: bool = False,
    arrays: bool = False,
) -> list[Path]:
    """Write ``<stem>_cost.png``, ``_crm``, ``_proposals`` and so on: a file for each figure of ``figures_of``.

    Args:
        inspection: what to draw.
        folder: is made if it is missing; files of these names are replaced.
        stem: the beginning of the file names.
        formats: one or several of "png", "pdf" and "svg".
        head: the attention head, from 1; None for the mean of all heads.
        at_point: draw CFM's attention at the inspection's point; False: the mean over all locations.
        arrays: write the arrays behind each figure as ``.npz`` too.

    Returns:
        The files.

    Raises:
        UsageError: a format is unknown, there is no such head, or the folder cannot be written.
    """
    for ending in formats:
        if ending not in FORMATS:
            raise UsageError(f"format {ending!r} is not one of {', '.join(FORMATS)}; give one or several of these.")
    folder, written = Path(folder), []
    with plain_style(inspection.names):
        for name, figure in list(figures_of(inspection, head, at_point)):  # draw all figures before any file is written
            for ending in formats:
                save_figure(figure, folder / f"{stem}_{name}.{ending}")
                written.append(folder / f"{stem}_{name}.{ending}")
    for name, values in arrays_of(inspection).items() if arrays else ():
        with replacing(folder / f"{stem}_{name}.npz") as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **values)
        written.append(folder / f"{stem}_{name}.npz")
    return written


def figures_of(inspection: Inspection, head: int | None = None, at_point: bool = False) -> Iterator[tuple[str, Figure]]:
    """Name and figure of each part of an inspection; see ``save_inspection``. Call it within ``plain_style``."""
    attention = inspection.attention
    if attention is not None:  # refuse a missing head before anything is drawn
        of_head(attention.spatial.weights if attention.spatial else attention.classes.mean, head)
    if inspection.cost is not None:
        yield "cost", draw_cost(inspection)
    if inspection.crm is not None:
        yield "crm", draw_crm(inspection)
    if attention is not None and attention.spatial is not None:
        yield "attention", draw_spatial_attention(inspection, head)
    if attention is not None and attention.classes is not None:
        yield "class_attention", draw_class_attention(inspection, head, at_point)
    if inspection.guidance is not None:
        yield "guidance", draw_guidance(inspection)
    for name, draw in OF_REGIONS.items():
        if getattr(inspection, name) is not None:
            yield name, draw(inspection)


OF_REGIONS = {"proposals": draw_proposals, "heatmaps": draw_heatmaps, "severance": draw_severance}


def arrays_of(inspection: Inspection) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of each figure, by the figure's name; each has "names" (T,), "labels" (H, W) and "kept" (K,)."""
    found: dict[str, dict[str, np.ndarray]] = {}
    if inspection.cost is not None:
        found["cost"] = {**inspection.cost, "shown": np.array(inspection.shown)}
    if inspection.crm is not None:
        ranking = inspection.crm
        found["crm"] = {"scores": ranking.scores, "order": ranking.order, "num_classes": np.array(ranking.num_classes)}
        found["crm"] |= {} if ranking.threshold is None else {"threshold": np.array(ranking.threshold)}
    if inspection.attention is not None:
        attention, point = inspection.attention, np.array(inspection.point)
        for suffix, run in (("", attention.spatial), ("_all", attention.spatial_all)):
            if run is not None:
                values = {"classes": np.array(run.classes), "weights": run.weights}
                values |= {"query": np.array(run.query), "cell": np.array(run.cell)}
                found.setdefault("attention", {"point": point}).update({k + suffix: v for k, v in values.items()})
        for suffix, run in (("", attention.classes), ("_all", attention.classes_all)):
            if run is not None:
                values = {"classes": run.classes, "mean": run.mean, "at_point": run.at_point}
                found.setdefault("class_attention", {"point": point}).update({k + suffix: v for k, v in values.items()})
    if inspection.guidance is not None:
        guidance = {"image": inspection.guidance.image, "text": inspection.guidance.text, **inspection.guidance.decoder}
        found["guidance"] = {name: x for name, x in guidance.items() if x is not None}
    found |= _arrays_of_regions(inspection)
    common = {"names": np.array(inspection.names), "labels": inspection.labels, "kept": inspection.kept}
    return {name: {**common, **values} for name, values in found.items()}


def _arrays_of_regions(inspection: Inspection) -> dict[str, dict[str, np.ndarray]]:
    found: dict[str, dict[str, np.ndarray]] = {}
    if inspection.proposals is not None:
        found["proposals"] = _of_proposals(inspection.proposals)
    if inspection.heatmaps is not None:
        heatmaps = inspection.heatmaps
        found["heatmaps"] = {"before": heatmaps.before, "after": heatmaps.after, **_of_proposals(heatmaps.proposals)}
    if inspection.severance is not None:
        severance = inspection.severance
        found["severance"] = {"point": np.array(inspection.point), "cell": np.array(severance.cell)}
        for mode in severance.names:
            found["severance"] |= {f"names_{mode}": severance.names[mode], f"place_{mode}": severance.place[mode]}
    return found


def _of_proposals(proposals: Proposals) -> dict[str, np.ndarray]:
    return {"masks": proposals.masks, "classes": proposals.classes, "cell": np.array(proposals.cell)}
