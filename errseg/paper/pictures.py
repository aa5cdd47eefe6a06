"""Fig. 2, and Figs. 8 to 10: attention with and without CRM, and pictures segmented by several models side by side."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from matplotlib.patches import Patch

from errseg.api import Segmenter
from errseg.colors import colors_of
from errseg.data import LabelReader, dataset_vocabulary
from errseg.errors import UsageError
from errseg.inspection import attention_measures, inspect
from errseg.inspection.figures import add_caption, close_gaps, new_figure, plain_style, save_figure
from errseg.inspection.files import figures_of
from errseg.mini.datasets import DATASET_NAMES
from errseg.mini.world import GROUNDS
from errseg.visualization import overlay

from .request import Request
from .sheet import Cell, Row, Sheet
from .systems import side_by_side

__all__ = ["alike_things", "attention", "few_things", "panels", "severance"]

SHOWN = 10  # names of a legend
LEAST = 0.005  # share of a picture that a name covers to be in its legend
Picked = Callable[[list[str]], bool]  # whether a drawn scene with these names is shown


class Scene(NamedTuple):
    """A picture of a row."""

    path: str
    names: Any  # for ``Segmenter.set_vocabulary``
    truth: np.ndarray | None = None  # (H, W) ids of names; None: there is no label
    ignored: int | None = None  # id in ``truth`` of the pixels that do not count


def attention(request: Request) -> Sheet:
    """Fig. 2: where SFM attends from a point, with CRM and without."""
    return _inspected(request, "attention", "Fig. 2: spatial attention with and without CRM")


def severance(request: Request) -> Sheet:
    """DeOP's Fig. 2: what patch severance does to the similarity with a point and with names."""
    return _inspected(request, "severance", "DeOP, Fig. 2: patch severance")


def _inspected(request: Request, panel: str, title: str) -> Sheet:
    name, segmenter = next(iter(request.models().items()))
    scenes = _asked(request) or _of_set(request, request.sets[-1] if request.mini else request.sets[0])
    measures, first = [], None
    for scene in scenes[: request.limit]:
        segmenter.set_vocabulary(scene.names, request.kept)
        inspection = inspect(segmenter, scene.path, [panel])
        first = first or inspection
        if inspection.attention is not None:
            measures.append(attention_measures(inspection))
    rows = []
    for suffix, label in (("", "with CRM"), ("_all", "without CRM")):
        found = [each for each in measures if f"reach{suffix}" in each or f"inside{suffix}" in each]
        columns = {"reach of SFM (pixels)": "reach", "attention of CFM inside (%)": "inside"}
        values = {k: [each[key + suffix] for each in found if key + suffix in each] for k, key in columns.items()}
        rows += [Row(label, {k: Cell(float(np.mean(v))) for k, v in values.items() if v})] if found else []
    figures = f" Figures: means of {len(measures)} pictures." if rows else ""
    notes = [f"Model: {name}.{figures} The picture is of {Path(scenes[0].path).name}."]

    def draw(path: Path) -> None:
        with plain_style(first.names):
            save_figure(dict(figures_of(first))[panel], path)

    columns = list(dict.fromkeys(column for row in rows for column in row.cells))
    return Sheet(title, columns, rows, notes, draw)


def panels(number: int, title: str, sets: Sequence[int], picked: Picked | None = None) -> Callable[[Request], Sheet]:
    """What makes a figure of rows of pictures: image, each model's prediction, and the truth where there is one.

    Args:
        number: of the figure.
        title: of the figure.
        sets: the places of the data sets in the paper's order whose first images are shown; (): pictures must be given.
        picked: which scenes of the mini world are shown; None: the first ones.
    """

    def make(request: Request) -> Sheet:
        scenes = _asked(request)
        if not scenes and request.mini:
            scenes = _of_set(request, DATASET_NAMES["unseen"], picked)
        elif not scenes and sets:
            there, _ = request.present([request.sets[i] for i in sets])
            scenes = [scene for name in there for scene in _of_set(request, name)[: -(-request.limit // len(there))]]
        if not scenes:
            raise UsageError(f"{request.command} needs pictures: --images FILE… --classes NAMES.")
        models = side_by_side(request)
        shown = [_row(scene, models, request.kept) for scene in scenes[: request.limit]]
        caption = _caption(shown, picked if request.mini and not request.images else None)
        notes = [f"Models: {', '.join(models)}.", caption]
        return Sheet(f"Fig. {number}: {title}", [], [], notes, lambda path: _draw(path, shown, list(models), caption))

    return make


def few_things(names: list[str]) -> bool:
    """A drawn scene with one or two never-seen things on its ground: the stand-in of Fig. 9, which shows one animal."""
    return len(names) <= 3


def alike_things(names: list[str]) -> bool:
    """A drawn scene with two things of one shape: the stand-in of Fig. 10, which tells things apart by attributes."""
    shapes = [name.split()[2] for name in names if len(name.split()) == 3 and name not in GROUNDS]
    return len(set(shapes)) < len(shapes)


def _asked(request: Request) -> list[Scene]:
    if request.images and request.names is None:
        raise UsageError(f"{request.command} --images needs --classes or --vocabulary: the names to look for.")
    return [Scene(path, request.names) for path in request.images]


def _of_set(request: Request, name: str, picked: Picked | None = None) -> list[Scene]:
    """The first pictures of a data set, with their labels."""
    request.present([name])
    reader, vocabulary, found = LabelReader(name), dataset_vocabulary(name), []
    for record in DatasetCatalog.get(name):
        path = record["sem_seg_file_name"]
        truth = reader.to_classes(reader.read(path, record["file_name"]), path)
        names = [vocabulary.classes[i] for i in np.unique(truth) if i != reader.ignore_label]
        if picked is None or picked(names):
            found.append(Scene(record["file_name"], name, truth, MetadataCatalog.get(name).ignore_label))
        if len(found) == request.limit:
            break
    return found


STAND_INS = {  # what the scenes that take the place of the paper's pictures show
    few_things: "one or two never-seen things, in place of the paper's rare animal",
    alike_things: "two things of one shape, in place of the paper's animals that differ in an attribute",
}


class Shown(NamedTuple):
    """A row, as it is drawn."""

    image: np.ndarray  # (H, W, 3)
    labels: list[tuple[str, np.ndarray]]  # (H, W) ids of names, by the title of their column
    names: tuple[str, ...]
    ignored: int | None


def _row(scene: Scene, models: dict[str, Segmenter], kept: int | str | None) -> Shown:
    labels, image, names = [], np.zeros(0), ()
    for title, segmenter in models.items():
        segmenter.set_vocabulary(scene.names, kept)
        image, names = segmenter.read(scene.path), segmenter.names
        labels.append((title, np.asarray(segmenter(scene.path).labels)))
    return Shown(image, labels + ([("truth", scene.truth)] if scene.truth is not None else []), names, scene.ignored)


def _caption(rows: Sequence[Shown], picked: Picked | None) -> str:
    """What the figure shows, in sentences."""
    numbers = " or ".join(str(number) for number in sorted({len(row.names) for row in rows}))
    text = (
        f"A pixel has the colour of the name with its highest score, of {numbers} names, over the picture in grey; "
        "white lines are borders. Legend: the largest names of a row, over all of its label maps. A name has one "
        "colour in all rows."
    )
    return f"{text} Scenes of the mini world with {STAND_INS[picked]}." if picked in STAND_INS else text


def _draw(path: Path, rows: Sequence[Shown], models: Iterable[str], caption: str) -> None:
    has_truth = any(row.labels[-1][0] == "truth" for row in rows)
    titles = ["image", *models, *(["truth"] if has_truth else [])]
    names, rows = _one_list(rows)
    width = 1.75 * (len(titles) + 1)
    height = sum(1.75 * min(row.image.shape[0] / row.image.shape[1], 1.5) + 0.12 for row in rows)
    with plain_style(names):
        figure = new_figure(height + 0.3, width)
        grid = figure.subplots(len(rows), len(titles) + 1, squeeze=False)
        for axes, row in zip(grid, rows, strict=True):
            axes[0].imshow(row.image)
            for panel, (_, ids) in zip(axes[1:], row.labels, strict=False):
                panel.imshow(overlay(row.image, ids, names))
            axes[-1].legend(handles=_legend(row), loc="center left", frameon=False, fontsize=6, borderaxespad=0)
            for panel in axes:
                panel.axis("off")
        for panel, title in zip(grid[0], titles, strict=False):
            panel.set_title(title)
        add_caption(figure, caption)
        close_gaps(figure, [panel for axes in grid for panel in axes if panel.images])
        save_figure(figure, path)


def _one_list(rows: Sequence[Shown]) -> tuple[tuple[str, ...], list[Shown]]:
    """The names of a figure in one list, those with the most pixels first, and the rows with ids into it.

    The first names of a list get the colours that differ most. A name of several vocabularies has one colour. Ids
    without a name and ignored pixels become the length of the list.
    """
    sizes: Counter[str] = Counter()
    first: dict[str, str] = {}
    for row in rows:
        for name in row.names:
            first.setdefault(_key(name), name)
        for _, ids in row.labels:
            found, counts = np.unique(ids[(ids != row.ignored) & (ids < len(row.names))], return_counts=True)
            for i, count in zip(found, counts, strict=True):
                sizes[_key(row.names[i])] += int(count)
    order = sorted(first, key=lambda key: -sizes[key])
    place, changed = {key: i for i, key in enumerate(order)}, []
    for row in rows:
        to = np.array([place[_key(name)] for name in row.names])
        labels = []
        for title, ids in row.labels:
            counts = (ids != row.ignored) & (ids < len(to))
            labels.append((title, np.where(counts, to[np.where(counts, ids, 0)], len(order))))
        changed.append(row._replace(labels=labels, names=tuple(first[key] for key in order), ignored=len(order)))
    return tuple(first[key] for key in order), changed


def _key(name: str) -> str:
    """What makes a name's colour: its first synonym."""
    return name.split(",")[0].strip().lower()


def _legend(row: Shown) -> list[Patch]:
    """The largest names of a row, of all its label maps, how many more there are, and ignored pixels."""
    colours, size = colors_of(row.names), row.image.shape[0] * row.image.shape[1]
    ids, counts = np.unique(np.concatenate([ids.ravel() for _, ids in row.labels]), return_counts=True)
    order = [(i, n) for i, n in sorted(zip(ids, counts, strict=True), key=lambda x: -x[1]) if i != row.ignored]
    known = [i for i, n in order if n >= LEAST * size][:SHOWN]
    patches = [Patch(color=np.array(colours[i]) / 255, label=row.names[i].split(",")[0]) for i in known]
    if len(order) > len(known):
        patches.append(Patch(color="none", label=f"and {len(order) - len(known)} smaller"))
    return patches + ([Patch(color="0.27", label="ignored")] if row.ignored in ids else [])
