"""Draw text in pictures, in DejaVu Sans; a letter that it lacks is drawn in an installed font that has the letter.

Letters that no font has are written as escapes, ``\\u732b``, and symbols as their names, ``[cat face]``, so that no two
names look alike.
"""

import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import ImageDraw, ImageFont

__all__ = ["font_of", "letters_of_no_font", "own", "plain_font", "shorten", "text_width", "write"]

PLACEHOLDERS = "lastresort"  # fonts of this name have a box for every letter
UNUSUAL = ("bold", "italic", "oblique", "light", "thin", "black", "condensed", "mono", "serif")  # in a font's file name
ELLIPSIS = "…"
MOST_LETTERS = 1000  # of a text that are measured; no picture has room for more


def write(
    draw: ImageDraw.ImageDraw, position: tuple[float, float], text: str, size: int, fill: tuple, anchor: str = "la"
) -> None:
    """Draw a line of text.

    Args:
        draw: on the picture.
        position: x and y of the anchor.
        text: without line breaks; they become blanks.
        size: of the letters, in pixels.
        fill: the colour.
        anchor: Pillow's: "l" or "r" (left, right), then "a" or "m" (top, middle).
    """
    x, y = position
    ascent, descent = _font(own(), size).getmetrics()
    baseline = y + (ascent if anchor[1] == "a" else round((ascent - descent) / 2))
    if anchor[0] == "r":
        x -= text_width(text, size)
    for path, part in _runs(text):
        draw.text((x, baseline), part, fill, _font(path, size), anchor="ls")
        x += _font(path, size).getlength(part)


def text_width(text: str, size: int) -> float:
    """The width of a line of text in pixels."""
    return sum(_font(path, size).getlength(part) for path, part in _runs(text))


def shorten(text: str, size: int, space: float) -> str:
    """The text, or, where it is wider than ``space`` pixels, as much of its beginning as fits, and an ellipsis."""
    if len(text) <= MOST_LETTERS and text_width(text, size) <= space:
        return text
    fits, too_many = 0, min(len(text), MOST_LETTERS)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if text_width(text[:middle].rstrip() + ELLIPSIS, size) <= space:
            fits = middle
        else:
            too_many = middle
    return text[:fits].rstrip() + ELLIPSIS


@cache
def own() -> str:
    """The path of DejaVu Sans, which comes with matplotlib."""
    import matplotlib  # here: it is slow to import

    return str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf")


def plain_font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans."""
    return _font(own(), size)


def letters_of_no_font(texts: Iterable[str]) -> str:
    """The letters of some texts that no installed font has, each once, in order."""
    letters = set("".join(" ".join(text.split()) for text in texts))
    return "".join(sorted(letter for letter in letters if not _is_hidden(letter) and font_of(letter) is None))


def _runs(text: str) -> list[tuple[str, str]]:
    """The text, split into runs of one font, each with the path of its font."""
    fonts = [(font_of(letter), letter) for letter in " ".join(text.split()) if not _is_hidden(letter)]
    parts = [(path or own(), letter if path else _escape(letter)) for path, letter in fonts]
    return [(path, "".join(part for _, part in run)) for path, run in groupby(parts, key=lambda part: part[0])]


def _is_hidden(letter: str) -> bool:
    """Whether a character is invisible: control characters, joiners, and selectors of an emoji's form."""
    return unicodedata.category(letter) in ("Cc", "Cf") or "VARIATION SELECTOR" in unicodedata.name(letter, "")


def _escape(letter: str) -> str:
    if unicodedata.category(letter) == "So":
        return f"[{unicodedata.name(letter, hex(ord(letter))).lower()}]"
    return letter.encode("ascii", "backslashreplace").decode()


@cache
def font_of(letter: str) -> str | None:
    """The path of a font that has a letter; None where there is none."""
    if _has(own(), letter):
        return own()
    return next((path for path in _installed() if _has(path, letter)), None)


@cache
def _installed() -> list[str]:
    """The fonts of this machine, the plain ones first."""
    from matplotlib import font_manager

    paths = [path for path in font_manager.findSystemFonts() if PLACEHOLDERS not in Path(path).name.lower()]
    return sorted(paths, key=lambda path: (sum(word in Path(path).name.lower() for word in UNUSUAL), path))


def _has(path: str, letter: str) -> bool:
    letters = _letters(path)
    place = np.searchsorted(letters, ord(letter))
    return bool(place < len(letters) and letters[place] == ord(letter))


@cache
def _letters(path: str) -> np.ndarray:
    """The code points of a font, in order; empty where the font cannot be used, such as a font of coloured pictures."""
    from matplotlib.ft2font import FT2Font

    try:
        ImageFont.truetype(path, 12)
        return np.array(sorted(FT2Font(path).get_charmap()), np.int64)
    except (OSError, RuntimeError, ValueError):
        return np.array([], np.int64)


@cache
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)
