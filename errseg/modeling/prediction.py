"""From the kept classes' scores to a label map, or to dense scores of every name, at the size of the picture.

Shapes: T names of the vocabulary, K classes kept, U classes kept in any view, h x w the logits' size, H x W the
picture's.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .layers import resize
from .views import View

DROPPED_LOGIT = -100.0  # of the classes that CRM dropped
BLOCK = 1 << 25  # scores at full size that are in memory at once: 128 MiB


class Part(NamedTuple):
    """The prediction of one view: what it says about a rectangle of the picture."""

    scores: Tensor  # (K, h, w), probabilities
    kept: Tensor  # (K,), ascending ids
    rows: tuple[int, int]  # first and one past the last, in pixels of the picture
    cols: tuple[int, int]


def image_size(inputs: dict) -> tuple[int, int]:
    """(height, width) of the image that the model takes."""
    height, width = inputs["image"].shape[-2:]
    return _number(height), _number(width)


def picture_size(inputs: dict) -> tuple[int, int]:
    """(height, width) of the prediction that is asked for: by default the image's."""
    height, width = inputs["image"].shape[-2:]
    return _number(inputs.get("height", height)), _number(inputs.get("width", width))


def _number(size: int | Tensor) -> int:
    """A size as an int. It is a tensor where a caller gives one, and while ``torch.jit.trace`` runs."""
    return int(size) if isinstance(size, Tensor) else size


def place(logits: Tensor, kept: Tensor, view: View, inputs: dict) -> Part:
    """The prediction of a view in its place in the picture: (K, h, w) logits, (K,) ids -> its Part."""
    scores = logits.float().sigmoid()
    (height, width), size = image_size(inputs), picture_size(inputs)
    rows, cols = (
        tuple(round(edge * to / length) for edge in edges)
        for edges, length, to in ((view.rows, height, size[0]), (view.cols, width, size[1]))
    )
    return Part(scores.flip(-1) if view.flipped else scores, kept, rows, cols)


def label_map(parts: Sequence[Part], size: tuple[int, int]) -> Tensor:
    """The best name of every pixel: parts that cover a picture of ``size`` (H, W) -> (H, W) int64 ids.

    Where several parts cover a pixel, their scores are averaged. Memory grows neither with T nor, but for the result,
    with H x W: blocks of rows are resized one after the other.
    """
    ids = _union(parts)
    blocks = [ids[scores.argmax(0)] for _, scores in _blocks(parts, ids, size)]
    return torch.cat(blocks)


def labels_and_scores(parts: Sequence[Part], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """``label_map``'s ids (H, W) int32, and the score of each pixel's best name: (H, W), 0 to 1.

    Each is written in place block by block: a large picture takes little more than the two results.
    """
    ids, first_scores = _union(parts), parts[0].scores
    labels = torch.empty(size, dtype=torch.int32, device=first_scores.device)
    best = first_scores.new_empty(size)
    for (first, last), scores in _blocks(parts, ids, size):
        places = scores.argmax(0)
        labels[first:last] = ids[places]
        best[first:last] = scores.gather(0, places.unsqueeze(0)).squeeze(0)
    return labels, best


def dense_scores(parts: Sequence[Part], size: tuple[int, int], num_names: int) -> Tensor:
    """Scores of every name at every pixel: parts that cover a picture of ``size`` (H, W) -> (T, H, W).

    A name that no view kept has the score of the logit -100, nearly 0.
    """
    ids = _union(parts)
    dropped = torch.full_like(parts[0].scores[0, 0, 0], DROPPED_LOGIT).sigmoid()
    dense = dropped.expand(num_names, *size).clone()
    for (first, last), scores in _blocks(parts, ids, size):
        dense[ids, first:last] = scores
    return dense


def _union(parts: Sequence[Part]) -> Tensor:
    """(U,) ascending."""
    return parts[0].kept if len(parts) == 1 else torch.cat([part.kept for part in parts]).unique()


def _blocks(parts: Sequence[Part], ids: Tensor, size: tuple[int, int]) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """Blocks of rows from the top down: (first, last) and the mean scores (U, last - first, W)."""
    height, width = size
    step = max(BLOCK // (len(ids) * width), 1)
    for first in range(0, height, step):
        rows = (first, min(first + step, height))
        yield rows, _whole_rows(parts[0], rows) if len(parts) == 1 else _mean(parts, ids, rows, width)


def _mean(parts: Sequence[Part], ids: Tensor, rows: tuple[int, int], width: int) -> Tensor:
    first, last = rows
    total = parts[0].scores.new_zeros(len(ids), last - first, width)
    covering = parts[0].scores.new_zeros(last - first, width)
    for part in parts:
        top, bottom = max(first, part.rows[0]), min(last, part.rows[1])
        if top < bottom and part.cols[0] < part.cols[1]:  # a window may be narrower than a pixel of a small picture
            place = (slice(top - first, bottom - first), slice(*part.cols))
            slots = torch.searchsorted(ids, part.kept)
            total[(slots, *place)] += _whole_rows(part, (top, bottom))
            covering[place] += 1
    return total / covering


def _whole_rows(part: Part, rows: tuple[int, int]) -> Tensor:
    """Some rows of the picture as a part that is resized as a whole sees them: (K, rows, the part's columns)."""
    scores = part.scores
    height, width = part.rows[1] - part.rows[0], part.cols[1] - part.cols[0]
    if rows == part.rows:
        return _resize(scores, (height, width))
    y = torch.arange(rows[0] - part.rows[0], rows[1] - part.rows[0], device=scores.device, dtype=torch.float32)
    y = ((y + 0.5) * (scores.shape[1] / height) - 0.5).clamp(min=0)  # align_corners=False
    above = y.long().clamp(max=scores.shape[1] - 1)
    below = (above + 1).clamp(max=scores.shape[1] - 1)
    blended = torch.lerp(scores[:, above], scores[:, below], (y - above).view(-1, 1).to(scores.dtype))
    return _resize(blended, (len(y), width))


def _resize(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """(K, h, w) -> (K, *size), a location's classes side by side in memory, which the CPU resizes and ranks faster."""
    x = scores.permute(1, 2, 0).contiguous().unsqueeze(0).permute(0, 3, 1, 2)
    return resize(x, size).squeeze(0)
