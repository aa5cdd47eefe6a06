"""A colour for each name: the same in every picture, and different from those of the other names."""

import hashlib
from functools import lru_cache

import numpy as np

__all__ = ["Color", "color_of", "colors_of"]

Color = tuple[int, int, int]

APART = 0.13  # least distance in OKLab between the colours of the first names
FEW = 16  # number of these first names; for more names, the distance is smaller
SPREAD = 64  # names; those after them keep the colour of color_of
TRIES = 32

# From OKLab to linear sRGB, by way of the cubes of three cone responses (B. Ottosson's colour space).
LAB_TO_LMS = np.array(
    [[1.0, 0.3963377774, 0.2158037573], [1.0, -0.1055613458, -0.0638541728], [1.0, -0.0894841775, -1.2914855480]]
)
LMS_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def color_of(name: str) -> Color:
    """The colour of a name, (red, green, blue): of its first synonym, in lower case.

    Hue, lightness and chroma follow from a hash of the name, in a space where equal steps look alike. All colours are
    brighter than ignored pixels. A name has the same colour on every machine and in every vocabulary.
    """
    return _to_rgb(_lab(name, 0))


@lru_cache(maxsize=64)
def colors_of(names: tuple[str, ...]) -> tuple[Color, ...]:
    """The colours of the names in a vocabulary: that of :func:`color_of`, unless it looks like an earlier name's.

    Such a name gets the first of its TRIES colours that differs enough from all earlier ones, or the one that differs
    most. Names after the first SPREAD keep the colour of :func:`color_of`. A name's colour depends only on the name and
    those before it, so it is the same in every picture of a vocabulary.
    """
    taken = np.empty((min(len(names), SPREAD), 3))
    for i, name in enumerate(names[:SPREAD]):
        apart = APART * min(1.0, FEW / (i + 1)) ** (1 / 3)
        best, room = None, -1.0
        for salt in range(TRIES):
            lab = _lab(name, salt)
            distance = np.sqrt(((taken[:i] - lab) ** 2).sum(1)).min(initial=np.inf)
            if distance > room:
                best, room = lab, distance
            if room >= apart:
                break
        taken[i] = best
    return (*map(_to_rgb, taken), *map(color_of, names[SPREAD:]))


@lru_cache(maxsize=1 << 16)  # bounded, because visitors of the web page enter any names
def _lab(name: str, salt: int) -> np.ndarray:
    """A colour of a name in OKLab, within what a screen shows: (3,)."""
    text = name.split(",")[0].strip().lower() + (f"\n{salt}" if salt else "")
    digest = hashlib.sha256(text.encode()).digest()
    hue, lightness, chroma = (int.from_bytes(digest[i : i + 4], "big") / 2**32 for i in (0, 4, 8))
    angle, lightness, chroma = 2 * np.pi * hue, 0.45 + 0.45 * lightness, 0.1 + 0.15 * chroma
    while True:
        lab = np.array([lightness, chroma * np.cos(angle), chroma * np.sin(angle)])
        linear = _to_linear(lab)
        if linear.min() >= 0 and linear.max() <= 1:
            return lab
        chroma *= 0.95  # a screen cannot show it, and clipping would make many colours equal


def _to_linear(lab: np.ndarray) -> np.ndarray:
    """Linear sRGB, beyond [0, 1] where a screen cannot show it."""
    return LMS_TO_RGB @ (LAB_TO_LMS @ lab) ** 3


def _to_rgb(lab: np.ndarray) -> Color:
    linear = _to_linear(lab)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clip(0) ** (1 / 2.4) - 0.055)
    return tuple(int(value) for value in np.rint(255 * rgb))
