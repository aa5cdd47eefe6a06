"""Label maps as pictures: overlays and legends, in the colours that belong to the names."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from .colors import colors_of
from .fonts import plain_font, shorten, text_width, write

__all__ = ["draw_text", "fit", "join", "legend", "overlay", "panel"]

IGNORED = "ignored"
IGNORED_COLOR = (70, 70, 70)
WHITE = (255, 255, 255)
INK = (25, 25, 25)
LINE, MARGIN, LETTERS = 18, 6, 12  # of a legend, in pixels


def overlay(
    image: np.ndarray, label: np.ndarray, names: Sequence[str], ignore: int | None = None, alpha: float = 0.6
) -> np.ndarray:
    """The image in grey under the colours of its label map, with white lines between the classes.

    Args:
        image: (H, W, 3) uint8 RGB.
        label: (H, W) indices into ``names``.
        names: the vocabulary.
        ignore: id of the pixels that do not count; they are dark, without a colour, as are ids without a name.
        alpha: 0: the grey image; 1: the colours, flat.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    grey = image.mean(axis=2, keepdims=True)
    label = np.where((label < 0) | (label >= len(names)), len(names), label)
    if ignore is not None and ignore < len(names):
        label[label == ignore] = len(names)
    palette = np.array([*colors_of(tuple(names)), IGNORED_COLOR], float)
    blend = alpha * palette[label] + (1 - alpha) * grey
    blend[label == len(names)] = (0.5 * grey)[label == len(names)]
    edges = np.zeros(label.shape, bool)
    edges[:, 1:] |= label[:, 1:] != label[:, :-1]
    edges[1:] |= label[1:] != label[:-1]
    blend[edges] = 255
    return np.rint(blend).astype(np.uint8)


def panel(
    image: np.ndarray,
    label: np.ndarray,
    names: Sequence[str],
    ignore: int | None = None,
    size: tuple[int, int] = (240, 320),
    legend_width: int = 240,
    alpha: float = 0.6,
) -> np.ndarray:
    """An overlay in a box (height, width), with its legend to the right; numbers link names to regions.

    Arguments are those of :func:`overlay`.

    Returns:
        (height, width + legend_width, 3) uint8 RGB. Where the image fills less than the box, the height is reduced, but
        it leaves room for a legend of a dozen names.
    """
    small = fit(label, size, label=True)
    colored = Image.fromarray(overlay(fit(image, size), small, names, ignore, alpha))
    entries = _entries(label, names, ignore)
    height = max(colored.height, 120, 2 * MARGIN + LINE * min(len(entries) + 1, 13))
    draw = ImageDraw.Draw(colored)
    for number, (index, _) in enumerate(entries[: _room(height)], 1):
        column, row, distance = _most_inner_point(small == index)
        if distance >= 7 and _is_name(index, names, ignore):
            outline = {"stroke_width": 2, "stroke_fill": INK}
            draw.text((column, row), str(number), WHITE, plain_font(LETTERS), anchor="mm", **outline)
    picture = np.full((height, size[1], 3), 255, np.uint8)
    picture[: colored.height, : colored.width] = colored
    return join([picture, legend(label, names, ignore, (height, legend_width))])


def legend(
    label: np.ndarray, names: Sequence[str], ignore: int | None = None, size: tuple[int, int] = (240, 240)
) -> np.ndarray:
    """The names of a label map, numbered, with their colours and shares of the pixels.

    Names with the most pixels come first, as many as fit; ignored pixels come last.

    Args:
        label: (H, W) indices into ``names``.
        names: the vocabulary.
        ignore: id of the pixels that do not count.
        size: (height, width) of the picture.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    height, width = size
    entries, room = _entries(label, names, ignore), _room(height)
    picture = Image.new("RGB", (width, height), WHITE)
    draw = ImageDraw.Draw(picture)
    for number, (index, share) in enumerate(entries[:room], 1):
        top = MARGIN + (number - 1) * LINE
        known = _is_name(index, names, ignore)
        color, name = (colors_of(tuple(names))[index], names[index].strip()) if known else (IGNORED_COLOR, IGNORED)
        write(draw, (18, top + 1), str(number) if known else "", LETTERS, INK, "ra")
        draw.rectangle((24, top + 2, 37, top + 15), fill=color, outline=INK)
        percent = f"{100 * share:.1f} %" if share >= 0.0005 else "< 0.1 %"
        space = width - 44 - 2 * MARGIN - text_width(percent, LETTERS)
        write(draw, (44, top + 1), shorten(name, LETTERS, space), LETTERS, INK)
        write(draw, (width - MARGIN, top + 1), percent, LETTERS, INK, "ra")
    if len(entries) > room:
        rest = f"and {len(entries) - room} more, {100 * sum(share for _, share in entries[room:]):.1f} %"
        write(draw, (44, MARGIN + room * LINE + 1), rest, LETTERS, INK)
    return np.asarray(picture)


def draw_text(text: str, width: int, height: int = 20) -> np.ndarray:
    """A line of text, cut where it is too long: (height, width, 3) uint8 RGB."""
    picture = Image.new("RGB", (width, height), WHITE)
    draw = ImageDraw.Draw(picture)
    write(draw, (2, height // 2), shorten(text, LETTERS, width - 4), LETTERS, INK, "lm")
    return np.asarray(picture)


def fit(image: np.ndarray, size: tuple[int, int], label: bool = False) -> np.ndarray:
    """Resize an image (H, W, 3), or a label map (H, W), into a box (height, width), keeping its proportions."""
    height, width = image.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    new_height, new_width = max(round(height * scale), 1), max(round(width * scale), 1)
    if label:  # nearest: the pixel under each centre
        rows = ((np.arange(new_height) + 0.5) * height / new_height).astype(int)
        columns = ((np.arange(new_width) + 0.5) * width / new_width).astype(int)
        return image[rows][:, columns]
    return np.asarray(Image.fromarray(image).resize((new_width, new_height), Image.Resampling.LANCZOS))


def join(pictures: Sequence[np.ndarray], vertical: bool = False, gap: int = 6) -> np.ndarray:
    """Pictures (H, W, 3) beside or below one another on white, from the top left."""
    along, across = (0, 1) if vertical else (1, 0)
    shape = [0, 0, 3]
    shape[along] = sum(picture.shape[along] for picture in pictures) + gap * (len(pictures) - 1)
    shape[across] = max(picture.shape[across] for picture in pictures)
    sheet = np.full(shape, 255, np.uint8)
    start = 0
    for picture in pictures:
        place = sheet[start:] if vertical else sheet[:, start:]
        place[: picture.shape[0], : picture.shape[1]] = picture
        start += picture.shape[along] + gap
    return sheet


def _is_name(index: int, names: Sequence[str], ignore: int | None) -> bool:
    return index != ignore and 0 <= index < len(names)


def _entries(label: np.ndarray, names: Sequence[str], ignore: int | None) -> list[tuple[int, float]]:
    """The ids in a label map, each with its share of the pixels: names by share, then all other ids."""
    least = int(label.min(initial=0))
    size = int(label.max(initial=0)) - least + 1
    parts = np.array_split(label, max(label.size >> 23, 1))  # bincount makes copies of 8 bytes a pixel
    counts = sum(np.bincount(part.ravel() - least, minlength=size) for part in parts)  # faster than sorting
    ids = np.flatnonzero(counts)
    entries = zip((ids + least).tolist(), (counts[ids] / label.size).tolist(), strict=True)
    return sorted(entries, key=lambda entry: (not _is_name(entry[0], names, ignore), -entry[1]))


def _room(height: int) -> int:
    """The number of entries that fit in a legend, with one line left to count the others."""
    return max((height - 2 * MARGIN) // LINE - 1, 1)


def _most_inner_point(mask: np.ndarray) -> tuple[int, int, float]:
    """The point in a mask (H, W) that is farthest from its edge: column, row and distance from the edge."""
    distance = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(distance.argmax(), distance.shape)
    return int(column), int(row), float(distance[row, column])
