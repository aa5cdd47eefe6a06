"""Masks as polygons: simplified, with their holes.

The formats have no holes in polygons. A hole is joined to its outer ring by a cut of no width, which is walked in both
directions: by every rule of filling, the hole stays empty.
"""

import contourpy
import cv2
import numpy as np

__all__ = ["TOLERANCE", "polygons_of"]

TOLERANCE = 0.7  # pixels that a simplified line may be away from the line between the pixels
LONG = 3  # pixels of an edge that is no step of a slanted line


def polygons_of(mask: np.ndarray, tolerance: float = TOLERANCE) -> list[np.ndarray]:
    """The polygons of a mask, one for each connected part, each (N, 2) float64: x and y in pixels, N at least 3.

    Pixel (0, 0) reaches from 0 to 1. A part that simplification would make less than a triangle is not simplified.

    Args:
        mask: (H, W) bool.
        tolerance: see TOLERANCE; 0: no simplification.
    """
    height, width = mask.shape
    padded = np.pad(mask, 1).astype(np.float32)
    lines = contourpy.contour_generator(z=padded, fill_type=contourpy.FillType.OuterOffset)
    polygons = []
    for points, offsets in zip(*lines.filled(0.5, 2.0), strict=True):
        rings = [points[start : end - 1] - 0.5 for start, end in zip(offsets, offsets[1:], strict=False)]  # closed
        rings = [_with_corners(ring, width, height) for ring in rings]
        joined, *holes = [_simplified(ring, tolerance) for ring in rings]
        for hole in sorted(holes, key=lambda ring: ring[:, 0].min()):
            joined = _with_hole(joined, hole)
        polygons.append(joined)
    return polygons


def _with_corners(ring: np.ndarray, width: int, height: int) -> np.ndarray:
    """The ring (N, 2) through the middles of pixels' edges, with the corners between long edges and at the border.

    The steps of a slanted line have no corners, so that the line can be straight.
    """
    upright = ring[:, 0] == np.floor(ring[:, 0])  # the middle of an upright edge
    turns = np.flatnonzero(upright != np.roll(upright, -1))
    if not len(turns):
        return ring
    first, second = ring[turns], ring[(turns + 1) % len(ring)]
    corners = np.where(upright[turns, None], np.c_[first[:, 0], second[:, 1]], np.c_[second[:, 0], first[:, 1]])
    before = np.diff(turns, prepend=turns[-1] - len(ring))  # lengths of the edges
    border = (corners == 0).any(1) | (corners == (width, height)).any(1)
    kept = (np.minimum(before, np.roll(before, -1)) >= LONG) | border
    return np.insert(ring, turns[kept] + 1, corners[kept], axis=0)


def _simplified(ring: np.ndarray, tolerance: float) -> np.ndarray:
    if tolerance <= 0:
        return ring
    fewer = cv2.approxPolyDP(ring.astype(np.float32)[:, None], tolerance, True)[:, 0].astype(float)
    return fewer if len(fewer) >= 3 else ring


def _with_hole(ring: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The ring with a cut from its corner that is nearest to the hole's leftmost corner."""
    start = int(hole[:, 0].argmin())
    near = int(((ring - hole[start]) ** 2).sum(1).argmin())
    around = np.roll(hole, -start, axis=0)
    return np.concatenate([ring[: near + 1], around, around[:1], ring[near:]])
