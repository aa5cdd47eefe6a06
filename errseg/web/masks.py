"""The data of the mask proposals for the browser: all masks side by side in one small grey picture, and their names."""

from typing import Any

import cv2
import numpy as np
from PIL import Image

from errseg.api import Proposals
from errseg.colors import colors_of

__all__ = ["LARGEST_SIDE", "LEAST", "LEVELS", "NAMES", "sheet_of", "view_masks"]

LARGEST_SIDE = 160  # of a mask in the sheet, in pixels
LEVELS = 64  # of a probability
LEAST = 0.05  # a mask that nowhere has this probability is left out
NAMES = 4  # of a mask, the best ones


def view_masks(proposals: Proposals) -> tuple[Image.Image, dict[str, Any]]:
    """The sheet of the masks, and what the browser has to know of it.

    Returns:
        The sheet, a grey picture of masks of "width" x "height" pixels, "columns" in a row, from the top left; and the
        dictionary of these numbers, of "least", below which a probability does not count, and of "masks": for each
        mask of the sheet, its "index", its best "names" with their probabilities, the probability of no name ("none"),
        and the "color" of its best name.
    """
    small = _reduced(proposals)
    seen = np.flatnonzero(small.reshape(len(small), -1).max(1) >= LEAST).tolist()
    colors = colors_of(proposals.names)
    ids = {name: i for i, name in enumerate(proposals.names)}
    masks = []
    for index in seen:
        names = proposals.best_names(index, NAMES)
        masks.append(
            {
                "index": index,
                "names": [[name, round(probability, 4)] for name, probability in names],
                "none": round(proposals.no_name(index), 4),
                "color": colors[ids[names[0].name]],
            }
        )
    sheet, columns = sheet_of(small[seen])
    height, width = small.shape[1:]
    numbers = {"width": width, "height": height, "columns": columns, "total": len(proposals), "least": LEAST}
    return Image.fromarray(sheet), {**numbers, "masks": masks}


def sheet_of(masks: np.ndarray) -> tuple[np.ndarray, int]:
    """Masks (N, h, w) of probabilities as one grey picture (rows * h, columns * w) uint8, and the number of columns."""
    count, height, width = masks.shape
    columns = max(min(round((count * height / width) ** 0.5), count), 1)  # the sheet is about a square
    rows = max(-(-count // columns), 1)
    sheet = np.zeros((rows * height, columns * width), np.uint8)
    steps = LEVELS - 1
    levels = np.rint(np.rint(masks * steps) * (255 / steps)).astype(np.uint8)
    for i in range(count):
        top, left = i // columns * height, i % columns * width
        sheet[top : top + height, left : left + width] = levels[i]
    return sheet, columns


def _reduced(proposals: Proposals) -> np.ndarray:
    """The masks in the size of the sheet: (N, h, w) float32."""
    height, width = proposals.masks.shape[1:]
    scale = min(LARGEST_SIDE / max(height, width), 1)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    masks = [cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) for mask in proposals.masks]
    return np.stack(masks)
