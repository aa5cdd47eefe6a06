"""Tables V to XII and Figs. 6 and 7: training runs of the full model and of its variants."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from errseg.errors import UsageError
from errseg.evaluation.compare import Run
from errseg.evaluation.paper import CONTENT
from errseg.inspection.figures import add_caption, new_figure, plain_style, save_figure
from errseg.mini.ablate import FULL, PAPER

from .request import Request, title_of
from .runs import label_of, results_of, rows_of
from .sheet import PAPER as MARK
from .sheet import Cell, Row, Sheet, cell_of, of_paper

__all__ = ["ablation", "curve"]


def ablation(prefix: str, title: str) -> Callable[[Request], Sheet]:
    """What makes a table of training runs.

    Args:
        prefix: of the rows' configuration files, such as "table5".
        title: of the table.
    """

    def make(request: Request) -> Sheet:
        rows, notes = found_rows(request, prefix)
        columns = [title_of(name) for name in request.sets]
        columns += [f"{name}{MARK}" for name in CONTENT["data sets"]]
        return Sheet(title, columns, [Row(label_of(row), cells_of(request, row, runs)) for row, runs in rows], notes)

    return make


def curve(prefix: str, key: str, title: str) -> Callable[[Request], Sheet]:
    """What makes a figure: mIoU over the values of one key.

    Args:
        prefix: of the rows' configuration files, such as "fig6".
        key: the configuration key.
        title: of the figure.
    """

    def make(request: Request) -> Sheet:
        found, notes = found_rows(request, prefix)
        points = sorted((runs[0].settings[key], row, runs) for row, runs in found if runs)
        columns = [title_of(name) for name in request.sets]
        rows = [
            Row(f"{value:g}", {k: v for k, v in cells_of(request, row, runs).items() if k in columns})
            for value, row, runs in points
        ]
        notes.append(f"Rows: {key}. errseg lacks the values of the paper's figure.")
        full = [f"{value:g}" for value, row, _ in points if row == FULL]
        about = [*notes[:-1], f"Rings: the value of {FULL} ({', '.join(full)})." if full else ""]
        caption = " ".join(
            [*filter(None, about), "Values are in order, not to scale; each panel has its own mIoU axis."]
        )
        return Sheet(title, columns, rows, notes, lambda path: draw_curve(path, rows, columns, full, title, caption))

    return make


def found_rows(request: Request, prefix: str) -> tuple[list[tuple[str, list[Run]]], list[str]]:
    """The rows with their runs, and a note about those that have none.

    Raises:
        UsageError: no row has a run, and none may be trained.
    """
    rows = [(row, results_of(request, row)) for row in rows_of(prefix)]
    missing = [label_of(row) for row, runs in rows if len(runs) < request.seeds]
    if not any(runs for _, runs in rows):
        raise UsageError(
            f"{request.command} needs {len(rows) * request.seeds} training runs, and {request.runs} has none; "
            f"{request.command} --gpus N trains them on N GPUs, and --mini runs the table on the mini world."
        )
    notes = [f"Runs are missing of: {'; '.join(missing)}. {request.command} --gpus N trains them."] if missing else []
    if request.seeds > 1:
        notes.append(f"Mean ± standard deviation of {request.seeds} seeds of the training.")
    else:
        notes.append("One seed of the training, with the 95 % interval over images, which has no seeds in it.")
    return rows, notes


def cells_of(request: Request, row: str, runs: Sequence[Run]) -> dict[str, Cell]:
    """Our mIoU by data set, and the paper's."""
    cells = {}
    for name in request.sets:
        results: list[Mapping[str, Any]] = [run.results[name] for run in runs if name in run.results]
        if results:
            cells[title_of(name)] = cell_of(results)
    figures = PAPER.get("errseg_convnext_base" if row == FULL else row)
    return cells | (of_paper(CONTENT["data sets"], figures) if figures else {})


def draw_curve(
    path: Path, rows: Sequence[Row], columns: Sequence[str], full: Sequence[str], title: str, caption: str
) -> None:
    """Write a PNG: mIoU over the rows' labels, a panel for each data set, with the deviation or the interval.

    Args:
        path: of the file.
        rows: a point each.
        columns: the data sets.
        full: the labels of the full model, which get a ring.
        title: "Fig. 6: …", whose last words are those of the axis.
        caption: what the points and bars are.
    """
    with plain_style():
        figure = new_figure(2.1, 1.5 + 1.9 * len(columns))
        for axes, name in zip(figure.subplots(1, len(columns), squeeze=False)[0], columns, strict=True):
            points = [(row.label, row.cells[name]) for row in rows if row.cells.get(name, Cell(None)).value is not None]
            values = [cell.value for _, cell in points]
            spread = [_spread(cell) for _, cell in points]
            axes.errorbar(
                range(len(points)), values, list(zip(*spread, strict=True)) or None, marker="o", ms=3, lw=1, capsize=2
            )
            rings = [i for i, (label, _) in enumerate(points) if label in full]
            axes.plot(rings, [values[i] for i in rings], "o", ms=8, mfc="none", mec="0.2", mew=0.8)
            axes.set_xticks(range(len(points)), [label for label, _ in points])
            axes.set(title=name, xlabel=title.partition(": ")[2])
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
        figure.axes[0].set_ylabel("mIoU (%)")
        figure.suptitle(title, fontsize=8)
        add_caption(figure, caption)
        save_figure(figure, path)


def _spread(cell: Cell) -> tuple[float, float]:
    """How far the bar of a point goes down and up."""
    if cell.deviation is not None:
        return cell.deviation, cell.deviation
    return (cell.value - cell.low, cell.high - cell.value) if cell.low is not None else (0.0, 0.0)
