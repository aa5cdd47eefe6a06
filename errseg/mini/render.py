"""Draw a scene: textured grounds, patterned objects that may hide one another, shadows, uneven light, blur, noise.

Images are float32 (H, W, 3) RGB in [0, 1]; masks are float32 (H, W) in [0, 1]; sizes are in pixels.
"""

import colorsys
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from .world import GROUNDS, PATTERNS, SHAPES, parts

__all__ = ["SCENE_SIZE", "Scene", "draw_scene"]

SCENE_SIZE = 160
OBJECT_SIZE = (46, 84)  # diameter of the circle around an object
MAX_TILT = np.deg2rad(15)
MIN_VISIBLE = 0.65  # least share of an object that stays visible when later objects are drawn
PLACEMENT_TRIES = 40

_HSV = {  # hue, saturation and value, in [0, 1]
    "red": (0.0, 0.85, 0.9),
    "yellow": (0.155, 0.85, 0.97),
    "green": (0.36, 0.8, 0.72),
    "blue": (0.6, 0.85, 0.9),
    "purple": (0.8, 0.65, 0.8),
    "white": (0.0, 0.02, 0.97),
}


class Scene(NamedTuple):
    """A drawn scene: ``image`` (H, W, 3) uint8 RGB, ``labels`` (H, W) indices into ``names``."""

    image: np.ndarray
    labels: np.ndarray
    names: list[str]


def draw_scene(names: Sequence[str], rng: np.random.Generator, size: int = SCENE_SIZE) -> Scene:
    """Draw objects of the given names over one or two grounds.

    An object is left out if it would hide too much of another object wherever it is tried.

    Args:
        names: compositions, all different.
        rng: the only source of randomness.
        size: side of the scene.
    """
    grounds = list(rng.permutation(GROUNDS)[: rng.integers(1, 3)])
    image, labels = _draw_grounds(grounds, rng, size)
    light = rng.uniform(0, 2 * np.pi)
    drawn, areas = [], []
    for name in names:
        for _ in range(PLACEMENT_TRIES):
            colour, alpha, top, left = _draw_object(name, rng, size, light)
            window = np.s_[top : top + alpha.shape[0], left : left + alpha.shape[1]]
            hidden = np.where(alpha > 0.5, len(grounds) + len(drawn), labels[window])
            if _all_visible(labels, hidden, window, areas, len(grounds)):
                _cast_shadow(image, alpha, top, left, light)
                image[window] += alpha[..., None] * (colour - image[window])
                labels[window] = hidden
                areas.append(int((alpha > 0.5).sum()))
                drawn.append(name)
                break
    return Scene(_photograph(image, rng), labels, grounds + drawn)


def _all_visible(labels: np.ndarray, hidden: np.ndarray, window: tuple, areas: list[int], first: int) -> bool:
    """Whether each object drawn so far has enough visible pixels after ``window`` of the labels becomes ``hidden``."""
    bins = first + len(areas) + 1
    count = np.bincount(labels.ravel(), minlength=bins) - np.bincount(labels[window].ravel(), minlength=bins)
    count += np.bincount(hidden.ravel(), minlength=bins)
    return all(count[first + i] >= MIN_VISIBLE * area for i, area in enumerate(areas))


# Objects


def _draw_object(
    name: str, rng: np.random.Generator, size: int, light: float
) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Colour (h, w, 3) and coverage (h, w) of an object, and the top and left of its patch in the scene."""
    colour, pattern, shape = parts(name)
    diameter = rng.uniform(*OBJECT_SIZE)
    side = int(np.ceil(diameter)) + 2
    top, left = rng.integers(0, size - side + 1, 2)
    axis = (np.arange(side, dtype=np.float32) - (side - 1) / 2) * (2 / diameter)
    x, y = np.meshgrid(axis, axis)
    u, v = _rotate(x, y, rng.uniform(-MAX_TILT, MAX_TILT))
    u, v = u * rng.uniform(1.0, 1.15), v * rng.uniform(1.0, 1.15)
    alpha = np.clip(_SHAPES[shape](u, v) * (diameter / 2) + 0.5, 0, 1)
    second = np.clip(_PATTERNS[pattern](u * diameter / 2, v * diameter / 2, rng) + 0.5, 0, 1)[..., None]

    hue, saturation, value = _HSV[colour]
    hue = (hue + rng.normal(0, 0.012)) % 1
    value = min(value * rng.uniform(0.85, 1.03), 1.0)
    first_tone = np.array(colorsys.hsv_to_rgb(hue, saturation * rng.uniform(0.85, 1.1), value), np.float32)
    second_tone = np.array(colorsys.hsv_to_rgb(hue, saturation, value * rng.uniform(0.2, 0.35)), np.float32)
    shading = 1 + rng.uniform(0.05, 0.2) * (x * np.cos(light) + y * np.sin(light))
    return (first_tone + second * (second_tone - first_tone)) * shading[..., None], alpha, int(top), int(left)


def _rotate(x: np.ndarray, y: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return 0.76 - np.maximum(np.abs(u), np.abs(v))


def _triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.minimum(0.62 - v, 0.46 + 0.5 * v - 0.88 * np.abs(u))


def _ring(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return 0.24 - np.abs(np.hypot(u, v) - 0.72)


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    long, short = np.maximum(np.abs(u), np.abs(v)), np.minimum(np.abs(u), np.abs(v))
    return np.minimum(0.9 - long, 0.3 - short)


def _bar(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.minimum(0.95 - np.abs(u), 0.3 - np.abs(v))


# Approximate distance to the outline, in units of half the diameter; positive inside.
_SHAPES = dict(zip(SHAPES, (_square, _triangle, _ring, _cross, _bar), strict=True))


def _plain(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.full_like(u, -1)


def _striped(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    period = rng.uniform(10, 14)
    _, across = _rotate(u, v, rng.choice((0, np.pi / 2)) + rng.normal(0, 0.1))
    return np.sin(2 * np.pi / period * across + rng.uniform(0, 6)) * period / 6


def _dotted(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    period = rng.uniform(9, 11)
    u, v = _rotate(u, v, np.pi / 4 + rng.normal(0, 0.1))
    u, v = u + rng.uniform(0, period), v + rng.uniform(0, period)
    return 0.28 * period - np.hypot(u % period - period / 2, v % period - period / 2)


def _checkered(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    period = rng.uniform(19, 25)
    u, v = u + rng.uniform(0, period), v + rng.uniform(0, period)
    return np.sin(2 * np.pi / period * u) * np.sin(2 * np.pi / period * v) * period / 5


# Approximate distance to the border of the second tone, in pixels; positive where the second tone is.
_PATTERNS = dict(zip(PATTERNS, (_plain, _striped, _dotted, _checkered), strict=True))


# Grounds


def _draw_grounds(grounds: Sequence[str], rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """An image of one ground, or of two on either side of a wavy line, and its labels."""
    image = _GROUNDS[grounds[0]](rng, size)
    labels = np.zeros((size, size), np.int64)
    if len(grounds) > 1:
        x, y = np.meshgrid(*[np.linspace(-1, 1, size, dtype=np.float32)] * 2)
        u, v = _rotate(x, y, rng.uniform(0, 2 * np.pi))
        border = v + 0.08 * np.sin(rng.uniform(2, 5) * u + rng.uniform(0, 6)) + rng.uniform(-0.4, 0.4)
        labels = (border > 0).astype(np.int64)
        alpha = np.clip(border * size / 2 + 0.5, 0, 1)[..., None]
        image += alpha * (_GROUNDS[grounds[1]](rng, size) - image)
    return image, labels


def _noise(rng: np.random.Generator, size: int, rows: float, columns: float) -> np.ndarray:
    """Smooth noise (H, W) of mean 0 and standard deviation about 1, with the given number of cells per side."""
    cells = rng.standard_normal((max(2, round(rows)), max(2, round(columns)))).astype(np.float32)
    return cv2.resize(cells, (size, size), interpolation=cv2.INTER_CUBIC)


def _tint(value: np.ndarray, rgb: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """A brightness map (H, W) in the colour ``rgb``, which varies slightly between scenes."""
    base = np.asarray(rgb, np.float32) * rng.uniform(0.9, 1.1) + rng.normal(0, 0.02, 3).astype(np.float32)
    return base * (1 + value[..., None])


def _grass(rng: np.random.Generator, size: int) -> np.ndarray:
    blades = _noise(rng, size, size / 7, size / 2) * 0.2 + _noise(rng, size, 6, 6) * 0.1
    return _tint(blades, (0.33, 0.47, 0.2), rng)


def _sand(rng: np.random.Generator, size: int) -> np.ndarray:
    grain = rng.standard_normal((size, size)).astype(np.float32) * 0.06
    return _tint(grain + _noise(rng, size, 8, 3) * 0.05, (0.8, 0.7, 0.5), rng)


def _water(rng: np.random.Generator, size: int) -> np.ndarray:
    y = np.arange(size, dtype=np.float32)[:, None]
    waves = np.sin(2 * np.pi / rng.uniform(10, 16) * y + 1.5 * _noise(rng, size, 14, 6))
    return _tint(waves * 0.12 + _noise(rng, size, size / 4, 10) * 0.08, (0.25, 0.45, 0.58), rng)


def _brick_wall(rng: np.random.Generator, size: int) -> np.ndarray:
    height, width = rng.uniform(11, 15), rng.uniform(26, 34)
    y, x = np.mgrid[:size, :size].astype(np.float32) + rng.uniform(0, 30, (2, 1, 1)).astype(np.float32)
    row = np.floor(y / height)
    x = x + (row % 2) * width / 2
    mortar = np.minimum(np.minimum(y % height, height - y % height), np.minimum(x % width, width - x % width)) < 1.2
    tone = rng.standard_normal(4096).astype(np.float32)[((row * 61 + np.floor(x / width)) % 4096).astype(int)]
    wall = _tint(tone * 0.1 + rng.standard_normal((size, size)).astype(np.float32) * 0.05, (0.6, 0.35, 0.27), rng)
    wall[mortar] = (0.7, 0.67, 0.62)
    return wall


def _wooden_floor(rng: np.random.Generator, size: int) -> np.ndarray:
    width = rng.uniform(20, 28)
    x = np.arange(size, dtype=np.float32) + rng.uniform(0, width)
    tone = rng.standard_normal(size).astype(np.float32)[(x // width).astype(int)] * 0.1
    value = tone + _noise(rng, size, 5, size / 2) * 0.1
    value[:, x % width < 1.5] = -0.6
    return _tint(value, (0.55, 0.38, 0.22), rng)


def _gravel(rng: np.random.Generator, size: int) -> np.ndarray:
    """Gravel: a pebble is the cell around a random point, darker towards its edge."""
    centres = np.ones((size, size), np.uint8)
    centres[tuple(rng.integers(0, size, (2, size * size // 60)))] = 0
    distance, cell = cv2.distanceTransformWithLabels(centres, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    tone = rng.standard_normal(int(cell.max()) + 1).astype(np.float32)[cell]
    return _tint(tone * 0.16 - distance * 0.06 + 0.1, (0.55, 0.53, 0.52), rng)


_GROUNDS = dict(zip(GROUNDS, (_grass, _sand, _water, _brick_wall, _wooden_floor, _gravel), strict=True))


# Light and camera


def _cast_shadow(image: np.ndarray, alpha: np.ndarray, top: int, left: int, light: float) -> None:
    """Darken ``image``, in place, behind an object and away from the light."""
    shadow = np.zeros(image.shape[:2], np.float32)
    shadow[top : top + alpha.shape[0], left : left + alpha.shape[1]] = alpha
    move = np.float32([[1, 0, -4 * np.cos(light)], [0, 1, -4 * np.sin(light)]])
    shadow = cv2.GaussianBlur(cv2.warpAffine(shadow, move, shadow.shape[::-1]), (0, 0), 2.5)
    image *= 1 - 0.4 * shadow[..., None]


def _photograph(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Uneven light, a colour cast, blur and sensor noise; returns uint8."""
    size = image.shape[0]
    illumination = rng.uniform(0.75, 1.1) + 0.07 * _noise(rng, size, 3, 3)
    image = image * illumination[..., None] * rng.normal(1, 0.02, 3).astype(np.float32)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.7))
    image = image + rng.standard_normal(image.shape).astype(np.float32) * rng.uniform(0.005, 0.025)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
