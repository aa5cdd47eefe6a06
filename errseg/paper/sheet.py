"""What a command makes: a table of our figures beside the paper's, perhaps a picture; as Markdown, CSV and PNG."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

from tabulate import tabulate

from errseg.atomic import replacing

__all__ = ["PAPER", "Cell", "Row", "Sheet", "cell_of", "of_paper"]

PAPER = " (paper)"  # ends the name of a column or row that holds the paper's figures


class Cell(NamedTuple):
    """A figure.

    Attributes:
        value: None: not measured.
        digits: behind the point, in Markdown; CSV has all.
        deviation: the standard deviation over seeds; None: of one run.
        low, high: the 95 % interval over images; None: it has none.
    """

    value: float | None
    digits: int = 1
    deviation: float | None = None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.value is None:
            return "–"
        text = f"{self.value:.{self.digits}f}"
        if self.deviation is not None:
            text += f" ± {self.deviation:.{self.digits}f}"
        if self.low is not None:
            text += f" ({self.low:.{self.digits}f} – {self.high:.{self.digits}f})"
        return text


class Row(NamedTuple):
    """A line of a table: its label, and its cells by column; a column may be left out."""

    label: str
    cells: Mapping[str, Cell]


@dataclass
class Sheet:
    """A table, and perhaps a picture.

    Attributes:
        title: "Table IV: …".
        columns: the names of the columns, without the labels'.
        rows: from top to bottom.
        notes: sentences below the table.
        draw: writes a PNG to a path; None: there is no picture.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    notes: list[str] = field(default_factory=list)
    draw: Callable[[Path], None] | None = None

    def markdown(self) -> str:
        """The title, the table and the notes."""
        cells = [[row.label, *(str(row.cells.get(name, "–")) for name in self.columns)] for row in self.rows]
        align = ["left"] + ["right"] * len(self.columns)
        table = tabulate(cells, ["", *self.columns], tablefmt="pipe", colalign=align, disable_numparse=True)
        return "\n\n".join(filter(None, [self.title, table if cells else "", "\n".join(self.notes)]))

    def write(self, folder: Path, stem: str) -> list[Path]:
        """Write ``stem.md``, ``stem.csv`` (a line for each figure) and, for a picture, ``stem.png``.

        Returns:
            The files.
        """
        written = [folder / f"{stem}.md"]
        with replacing(written[0]) as temporary:
            temporary.write_text(self.markdown() + "\n", encoding="utf-8")
        if self.rows:
            written.append(folder / f"{stem}.csv")
            with replacing(written[-1]) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["row", "column", "source", "value", "deviation", "low", "high"])
                writer.writerows(self._lines())
        if self.draw:
            written.append(folder / f"{stem}.png")
            self.draw(written[-1])
        return written

    def _lines(self) -> list[list[object]]:
        lines = []
        for row in self.rows:
            for name in filter(row.cells.get, self.columns):
                cell = row.cells[name]
                if cell.value is not None:
                    source = "paper" if PAPER in row.label + name else "errseg"
                    spread = ["" if x is None else x for x in (cell.deviation, cell.low, cell.high)]
                    label, column = row.label.removesuffix(PAPER), name.removesuffix(PAPER)
                    lines.append([label, column, source, cell.value, *spread])
        return lines


def cell_of(results: Sequence[Mapping], score: str = "mIoU") -> Cell:
    """A score of one data set over the runs of several seeds: mean and deviation; of one run, with its interval.

    Args:
        results: of ``evaluation.json``, a run each.
        score: of them.
    """
    values = [result[score] for result in results if result.get(score) is not None]
    if not values:
        return Cell(None)
    if len(values) > 1:
        return Cell(mean(values), deviation=stdev(values))
    bounds = (results[0].get("intervals") or {}).get(score) or (None, None)
    return Cell(values[0], low=bounds[0], high=bounds[1])


def of_paper(sets: Sequence[str], values: Sequence[float | None], marked: bool = True) -> dict[str, Cell]:
    """The paper's figures by column.

    Args:
        sets: the names of the columns.
        values: one for each; None: the paper has none.
        marked: whether the columns' names say that the figures are the paper's; False: the row's label does.
    """
    pairs = zip(sets, values, strict=True)
    return {f"{name}{PAPER if marked else ''}": Cell(value) for name, value in pairs if value is not None}
