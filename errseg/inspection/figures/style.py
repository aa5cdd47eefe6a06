"""What all figures share: sizes, fonts, colours, names, captions."""

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
from errseg.fonts import font_of, letters_of_no_font, own

__all__ = [
    "FORMATS",
    "MAPS",
    "SEQUENTIAL",
    "WIDTH",
    "add_caption",
    "close_gaps",
    "counted",
    "grid_height",
    "in_two_lines",
    "mark",
    "new_figure",
    "plain_numbers",
    "plain_style",
    "save_figure",
    "short",
    "show_map",
    "show_masked",
    "show_picture",
]

FORMATS = ("png", "pdf", "svg")
WIDTH = 7.2  # inches, the width of two columns of a paper
DPI = 200
LONGEST_NAME = 24
LARGEST_PICTURE = 640  # pixels of the longer side of a picture in a figure
DARKEST = 0.88  # how much of the light a mask of probability 0 takes
MAPS, SEQUENTIAL = "viridis", "magma"  # perceptually uniform, also for colour-blind readers
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
    "pdf.fonttype": 42,  # text is stored as text
    "svg.fonttype": "path",  # looks the same on machines without the font
    "svg.hashsalt": "errseg",  # the same figure gives the same file
    "text.parse_math": False,  # a dollar sign in a name is no formula
}


@contextmanager
def plain_style(texts: Iterable[str] = ()) -> Iterator[None]:
    """Draw and save figures within this context.

    Args:
        texts: names that may have letters that DejaVu Sans lacks.
    """
    paths = sorted({font_of(letter) for letter in set("".join(texts)) if letter.isprintable()} - {own(), None})
    with matplotlib.rc_context({**STYLE, "font.family": ["DejaVu Sans", *map(_family, paths)]}):
        yield


@cache
def _family(path: str) -> str:
    """The family name of a font file, which matplotlib knows after this call."""
    fontManager.addfont(path)
    return FontProperties(fname=path).get_name()


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """A new figure that pyplot does not manage; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def grid_height(picture: np.ndarray, rows: int, columns: int, width: float = WIDTH, extra: float = 0.45) -> float:
    """The height in inches of a figure with a grid of pictures; ``extra`` is added for each row's title and gap."""
    return rows * (width / columns * picture.shape[0] / picture.shape[1] + extra)


def add_caption(figure: Figure, text: str) -> None:
    """Add lines of small type below a figure, and make the figure higher by them."""
    width, height = figure.get_size_inches()
    text = text.replace(" %", "\N{NO-BREAK SPACE}%")
    lines = textwrap.wrap(text, int(width / 0.054))
    figure.set_size_inches(width, height + 0.13 * len(lines) + 0.1)
    figure.supxlabel("\n".join(lines), fontsize=7, color="0.25", x=0.01, ha="left", linespacing=1.25)


def close_gaps(figure: Figure, axes: Iterable[Axes]) -> None:
    """Set the height of a figure so that the pictures of its grid fill their cells. Call this last."""
    axes = [panel for panel in axes if panel.get_visible()]
    for _ in range(3):  # the width of the colour bars changes with the height
        figure.draw_without_rendering()
        width, height = figure.get_size_inches()
        rows: dict[int, float] = {}  # for each row, the height that its tallest picture lacks, in inches
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
    """Put the ticks of a logarithmic axis at powers of ten, written as plain numbers."""
    axis.set_major_locator(LogLocator(numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def counted(number: int, word: str = "name") -> str:
    """``1 name``, ``9 names``, ``no names``."""
    return f"{number or 'no'} {word}{'s' * (number != 1)}"


def short(names: Sequence[str], length: int = LONGEST_NAME) -> list[str]:
    """Names for a figure: on one line, long names cut, letters that no installed font has as their codes."""
    codes = {ord(letter): letter.encode("ascii", "backslashreplace").decode() for letter in letters_of_no_font(names)}
    lines = [" ".join(name.split()).translate(codes) for name in names]
    return [line if len(line) <= length else f"{line[: length - 1].rstrip()}…" for line in lines]


def in_two_lines(names: Sequence[str], length: int) -> list[str]:
    """Names as titles of narrow panels: at most two lines of ``length`` letters, and the rest cut."""
    plain = short(names, 2 * length + 8)
    return ["\n".join(textwrap.wrap(name, length, max_lines=2, placeholder="…")) for name in plain]


def show_picture(axes: Axes, picture: np.ndarray, title: str = "") -> None:
    """Show a picture (H, W, 3). The axes count pixels of the original picture, even where it is drawn smaller."""
    height, width = picture.shape[:2]
    step = max(max(height, width) // LARGEST_PICTURE, 1)
    axes.imshow(picture[::step, ::step], extent=(0, width, height, 0), interpolation="antialiased")
    _bare(axes, title)


def show_map(axes: Axes, values: np.ndarray, picture: np.ndarray, title: str = "", cell=None, **options):
    """Show a map (h, w) of the model, or its colours (h, w, 3), over the area of the picture, without smoothing.

    Args:
        axes: where to draw.
        values: the map.
        picture: (H, W, 3); the axes count its pixels.
        title: the text above the map.
        cell: (width, height) of a cell of the map in pixels of the picture; None: the map covers the picture.
        options: further options of imshow.

    Returns:
        The drawn image, for a colour bar.
    """
    height, width = picture.shape[:2]
    bottom, right = (height, width) if cell is None else (cell[1] * values.shape[0], cell[0] * values.shape[1])
    image = axes.imshow(values, extent=(0, right, bottom, 0), interpolation="nearest", **options)
    axes.set(xlim=(0, width), ylim=(height, 0))
    _bare(axes, title)
    return image


def show_masked(axes: Axes, picture: np.ndarray, mask: np.ndarray, cell: tuple[float, float], title: str = "") -> None:
    """Show a picture (H, W, 3) that is dark where the probabilities of a mask (h, w) are low.

    Args:
        axes: where to draw.
        picture: (H, W, 3).
        mask: (h, w).
        cell: (width, height) of a cell of the mask in pixels of the picture.
        title: the text above the picture.
    """
    show_picture(axes, picture)
    shade = np.zeros((*mask.shape, 4))
    shade[..., 3] = DARKEST * (1 - mask)
    show_map(axes, shade, picture, title, cell)


def mark(axes: Axes, point: tuple[int, int]) -> None:
    """Mark a point (x, y) by a cross."""
    for colour, width in (("black", 2.6), ("white", 1.2)):
        axes.plot(point[0] + 0.5, point[1] + 0.5, "+", color=colour, markersize=9, markeredgewidth=width, clip_on=False)


def _bare(axes: Axes, title: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal")
    axes.set_title(title)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's ending; the layout is the same in all formats.

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
