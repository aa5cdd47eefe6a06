"""The label map at the picture's size, inside the file: scores are resized a few names at a time, and the best kept.

Shapes: B images, K names kept, h x w scores, H x W the picture.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["best_at_size"]

BLOCKS = 16  # names are resized in this many blocks: more save memory, but each adds operations to the file


def best_at_size(scores: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The best name of every pixel, and its score: (B, K, h, w) -> (B, H, W) int64 places, (B, H, W).

    Only K / 16 of the K names' scores are in memory at the size of the picture. Where K is unknown at tracing, all are.
    Of names with equal scores, the first wins, as in ``argmax``.
    """
    count = scores.shape[1]
    step = -(-count // BLOCKS) if isinstance(count, int) else count
    best, places = _resized(scores[:, :step], size).max(1)
    for first in range(step, count, step) if isinstance(count, int) else ():
        score, place = _resized(scores[:, first : first + step], size).max(1)
        better = score > best
        best, places = torch.where(better, score, best), torch.where(better, place + first, places)
    return places, best


def _resized(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """``layers.resize``, which compares sizes, and may not: the picture's is unknown at tracing."""
    return F.interpolate(scores, size=size, mode="bilinear", align_corners=False)
