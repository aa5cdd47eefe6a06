"""What the figures share: sizes, type, colours, names, captions."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from errseg.atomic import replacing
from errseg.errors import UsageError
from errseg.fonts import OWN, font_of, letters_of_no_font

__all__ = [
    "FORMATS",
    "MAPS",
    "SEQUENTIAL",
    "WIDTH",
    "add_caption",
    "close_gaps",
    "counted",
    "grid_height",
    "new_figure",
    "plain_numbers",
    "plain_style",
    "save_figure",
    "short",
    "show_map",
    "show_picture",
]

FORMATS = ("png", "pdf", "svg")
WIDTH = 7.2  # inches, two columns of a paper
DPI = 200
LONGEST_NAME = 24
LARGEST_PICTURE = 640  # pixels of the longer side, as pictures stand in a figure
MAPS, SEQUENTIAL = "viridis", "magma"  # even steps, for the colour-blind too
STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "pdf.fonttype": 42,  # text stays text
    "svg.fonttype": "path",  # the same on machines without the font
    "svg.hashsalt": "errseg",  # the same file for the same figure
    "text.parse_math": False,  # a dollar in a name is a dollar
}


@contextmanager
def plain_style(texts: Iterable[str] = ()) -> Iterator[None]:
    """Draw and save figures in here.

    Args:
        texts: names that may have letters which DejaVu Sans lacks.
    """
    paths = sorted({font_of(letter) for letter in set("".join(texts)) if letter.isprintable()} - {OWN, None})
    with matplotlib.rc_context({**STYLE, "font.family": ["DejaVu Sans", *map(_family, paths)]}):
        yield


@cache
def _family(path: str) -> str:
    """A font file's name, by which matplotlib knows it from here on."""
    fontManager.addfont(path)
    return FontProperties(fname=path).get_name()


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """A figure that no pyplot knows, in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def grid_height(picture: np.ndarray, rows: int, columns: int, width: float = WIDTH, extra: float = 0.45) -> float:
    """The height of a figure of so many pictures, in inches: with ``extra`` for each row's title and gap."""
    return rows * (width / columns * picture.shape[0] / picture.shape[1] + extra)


def add_caption(figure: Figure, text: str) -> None:
    """Lines of small type below a figure, which grows by them."""
    width, height = figure.get_size_inches()
    text = text.replace(" %", "\N{NO-BREAK SPACE}%")
    lines = textwrap.wrap(text, int(width / 0.054))
    figure.set_size_inches(width, height + 0.13 * len(lines) + 0.1)
    figure.supxlabel("\n".join(lines), fontsize=7, color="0.25", x=0.01, ha="left", linespacing=1.25)


def close_gaps(figure: Figure, axes: Iterable[Axes]) -> None:
    """Give a figure the height at which the pictures of its grid fill their places; call it last."""
    axes = [panel for panel in axes if panel.get_visible()]
    for _ in range(3):  # colour bars take more or less of the width then
        figure.draw_without_rendering()
        width, height = figure.get_size_inches()
        rows: dict[int, float] = {}  # what the tallest picture of each lacks, in inches
        for panel in axes:
            place, drawn = panel.get_position(original=True), panel.get_position()
            shape = drawn.height * height / (drawn.width * width)
            lacks = place.width * width * shape - place.height * height
            row = panel.get_subplotspec().rowspan.start
            rows[row] = max(rows.get(row, -height), lacks)
        figure.set_size_inches(width, height + sum(rows.values()))
        if abs(sum(rows.values())) < 0.02 * height:
            return


def plain_numbers(axis: Axis) -> None:
    """Ticks of a logarithmic axis at powers of ten, written out."""
    axis.set_major_locator(LogLocator(numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def counted(number: int, word: str = "name") -> str:
    """``1 name``, ``9 names``, ``no names``."""
    return f"{number or 'no'} {word}{'s' * (number != 1)}"


def short(names: Sequence[str], length: int = LONGEST_NAME) -> list[str]:
    """Names for a figure: one line, cut where they are long; letters of no installed font as their codes."""
    codes = {ord(letter): letter.encode("ascii", "backslashreplace").decode() for letter in letters_of_no_font(names)}
    lines = [" ".join(name.split()).translate(codes) for name in names]
    return [line if len(line) <= length else f"{line[: length - 1].rstrip()}…" for line in lines]


def show_picture(axes: Axes, picture: np.ndarray, title: str = "") -> None:
    """A picture (H, W, 3), its axes in its own pixels, however small it is drawn."""
    height, width = picture.shape[:2]
    step = max(max(height, width) // LARGEST_PICTURE, 1)
    axes.imshow(picture[::step, ::step], extent=(0, width, height, 0), interpolation="antialiased")
    _bare(axes, title)


def show_map(axes: Axes, values: np.ndarray, picture: np.ndarray, title: str = "", cell=None, **options):
    """A map (h, w) of the model, or its colours (h, w, 3), over the area of the picture, unsmoothed.

    Args:
        axes: where.
        values: the map.
        picture: (H, W, 3), whose pixels the axes count.
        title: above it.
        cell: (width, height) of one of its cells in pixels of the picture; None: the map covers the picture.
        options: imshow's.

    Returns:
        What a colour bar is made for.
    """
    height, width = picture.shape[:2]
    bottom, right = (height, width) if cell is None else (cell[1] * values.shape[0], cell[0] * values.shape[1])
    image = axes.imshow(values, extent=(0, right, bottom, 0), interpolation="nearest", **options)
    axes.set(xlim=(0, width), ylim=(height, 0))
    _bare(axes, title)
    return image


def _bare(axes: Axes, title: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal")
    axes.set_title(title)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the ending of the path says; its layout is the same in all.

    Raises:
        UsageError: the folder cannot be written.
    """
    ending = path.suffix[1:]
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(ending)
    try:
        with replacing(path) as temporary:
            figure.savefig(temporary, format=ending, dpi=DPI, metadata=undated)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror or error}); give another --out.") from error
