"""The prediction of a system for a batch of views, and its conversion to label maps, confidences or dense scores.

Shapes: B views, T names of the vocabulary, K names kept, N maps of a prediction in factors, U names kept in any view,
h x w the size of a view's scores or maps, H x W the size of the picture.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from .layers import interpolated_rows, resize, row_positions
from .views import View

BLOCK = 1 << 25  # scores of full size that are in memory at once: 128 MiB
MIXED = 1 << 21  # the same for scores that a CPU mixes from maps: 8 MiB, which fit its cache


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction of a system for a batch of views.

    Scores are not negative, and they can be resized linearly. The name with the highest score wins. Scores need not be
    probabilities.

    Scores are given for each name, or in two factors: N maps, such as the probabilities of masks, and the weight of
    each map for each name. The score of a name is then the weighted sum of the maps. Label maps and confidences are
    computed from the factors for a block of rows at a time, so that (T, H, W) scores are never in memory.

    Attributes:
        scores: (B, K, h, w) float32 scores of the names kept; with ``mix``, (B, N, h, w) float32 maps, not negative.
        kept: (B, K) int64 ids of the names kept, ascending.
        dropped: the score of the names that are not kept.
        total: the divisor that turns a score into a confidence in [0, 1]: (B, 1, h, w); with ``mix``, (B, 1, N), the
            weights of the maps in it. None: scores are confidences.
        shown: further outputs of the system, by the names in its record (``System.shows``), each (B, ...). Entries of
            four dimensions are maps of the view, as ``scores`` are.
        mix: (B, K, N) float32, the weights of the maps for each name, not negative; None: ``scores`` are the names'.
        padded: some views may keep fewer names than K: in ``kept``, -1 follows their ids, with scores ``dropped``.
    """

    scores: Tensor
    kept: Tensor
    dropped: float = 0.0
    total: Tensor | None = None
    shown: Mapping[str, Tensor] = field(default_factory=dict)
    mix: Tensor | None = None
    padded: bool = False

    def dense(self, size: tuple[int, int] | None = None) -> "Prediction":
        """The same prediction without factors: ``scores`` (B, K, *size), and ``total``, if it has one, (B, 1, *size).

        Args:
            size: height and width to which scores and total are resized; None: h x w.
        """
        scores, total = self.scores, self.total
        if size is not None:
            scores = resize(scores.contiguous(memory_format=torch.channels_last), size)
            total = resize(total, size) if total is not None and self.mix is None else total
        if self.mix is not None:
            total = None if total is None else mixed(total, scores)
            scores = mixed(self.mix, scores)
        return replace(self, scores=scores, total=total, mix=None)

    def of_whole(self, index: int) -> "ViewPrediction":
        """The prediction of a view that shows a whole picture, at the size of its scores."""
        size = (self.scores.shape[-2], self.scores.shape[-1])
        image = torch.empty(3, *size, device="meta")
        return self.of_view(index, View((0, size[0]), (0, size[1]), size), {"image": image})

    def of_view(self, index: int, view: View, inputs: dict) -> "ViewPrediction":
        """The prediction of one view at its place in the picture.

        Args:
            index: index of the view in the batch.
            view: the view of the image.
            inputs: the inputs of the model for the image.
        """
        (height, width), size = image_size(inputs), picture_size(inputs)
        rows, cols = view.rows, view.cols
        if view.canvas is None:
            rows, cols = _at_size(rows, height, size[0]), _at_size(cols, width, size[1])
        scores, total = self.scores[index], None if self.total is None else self.total[index]
        mix, kept = None if self.mix is None else self.mix[index], self.kept[index]
        if self.padded:
            kept = kept[: int((kept >= 0).sum())]
            scores, mix = (scores[: len(kept)], None) if mix is None else (scores, mix[: len(kept)])
        shown = {name: value[index] for name, value in self.shown.items()}
        if view.flipped:
            scores = scores.flip(-1)
            total = total.flip(-1) if total is not None and mix is None else total
            shown = {name: value.flip(-1) if value.ndim == 3 else value for name, value in shown.items()}
        return ViewPrediction(scores, kept, rows, cols, self.dropped, total, shown, mix, view.canvas, view.layer)


class ViewPrediction(NamedTuple):
    """The prediction of one view, for its rectangle of the picture. Each view may have maps of its own."""

    scores: Tensor  # (K, h, w); with mix, (N, h, w)
    kept: Tensor  # (K,), ascending ids
    rows: tuple[int, int]  # first and last + 1, in pixels of the picture
    cols: tuple[int, int]
    dropped: float = 0.0
    total: Tensor | None = None  # (1, h, w); with mix, (1, N)
    shown: Mapping[str, Tensor] = {}
    mix: Tensor | None = None  # (K, N)
    canvas: tuple[int, int] | None = None  # rows and cols are those of the picture resized to it; None: of the picture
    layer: int = 0  # the views of a layer are averaged first, then the layers

    def with_total(self) -> "ViewPrediction":
        """The same with the total, where there is one, as one more channel: a score after those of the names."""
        if self.total is None:
            return self
        if self.mix is None:
            return self._replace(scores=torch.cat([self.scores, self.total]))
        return self._replace(mix=torch.cat([self.mix, self.total]))


def mixed(mix: Tensor, maps: Tensor) -> Tensor:
    """The weighted sums of maps: (..., K, N) and (..., N, h, w) -> (..., K, h, w)."""
    return (mix @ maps.flatten(-2)).unflatten(-1, maps.shape[-2:])


def _at_size(edges: tuple[int, int], length: int, to: int) -> tuple[int, int]:
    """First and last edge of a view along a side of the image, when that side is resized from ``length`` to ``to``."""
    first, last = (round(edge * to / length) for edge in edges)
    return first, last


def image_size(inputs: dict) -> tuple[int, int]:
    """(height, width) of the model's input image."""
    height, width = inputs["image"].shape[-2:]
    return _number(height), _number(width)


def picture_size(inputs: dict) -> tuple[int, int]:
    """(height, width) of the requested prediction; by default the size of the input image."""
    height, width = inputs["image"].shape[-2:]
    return _number(inputs.get("height", height)), _number(inputs.get("width", width))


def _number(size: int | Tensor) -> int:
    """A size as an int. It is a tensor if a caller gives one, and while ``torch.jit.trace`` runs."""
    return int(size) if isinstance(size, Tensor) else size


def label_map(views: Sequence[ViewPrediction], size: tuple[int, int]) -> Tensor:
    """The best name of every pixel: views that cover a picture of ``size`` (H, W) -> (H, W) int64 ids.

    Where several views cover a pixel, their scores are averaged. Memory does not grow with T. Apart from the result, it
    does not grow with H x W either, because blocks of rows are resized one after another.
    """
    ids = _union(views)
    labels = ids.new_empty(size)  # one tensor: small results between the blocks would break up the free memory
    for (first, last), scores in _blocks(views, ids, size):
        labels[first:last] = ids[scores.max(0).indices]
    return labels


def labels_and_confidences(views: Sequence[ViewPrediction], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The best name of every pixel, and its confidence: (H, W) int32 ids as in ``label_map``, and (H, W) from 0 to 1.

    Both are computed block by block, so that a large picture needs little more memory than the two results.
    """
    has_total = views[0].total is not None
    if has_total:  # the total is resized and averaged like the scores, as their last channel
        views = [each.with_total() for each in views]
    ids, first_scores = _union(views), views[0].scores
    labels = torch.empty(size, dtype=torch.int32, device=first_scores.device)
    best = first_scores.new_empty(size)
    for (first, last), scores in _blocks(views, ids, size, has_total):
        confidence, places = scores[: len(ids)].max(0)
        labels[first:last] = ids[places]
        best[first:last] = confidence_of(confidence, scores[-1]) if has_total else confidence
    return labels, best


def confidence_of(score: Tensor, total: Tensor) -> Tensor:
    """The confidence in [0, 1] of scores, by ``Prediction.total`` at the same pixels."""
    return (score / total.clamp(min=torch.finfo(total.dtype).tiny)).clamp(0, 1)


def dense_scores(views: Sequence[ViewPrediction], size: tuple[int, int], num_names: int) -> Tensor:
    """The scores of all names at every pixel: views that cover a picture of ``size`` (H, W) -> (T, H, W).

    A name that no view kept has the score ``dropped``.
    """
    ids, first_scores = _union(views), views[0].scores
    dense = first_scores.new_full((), views[0].dropped).expand(num_names, *size).clone()
    for (first, last), scores in _blocks(views, ids, size):
        dense[ids, first:last] = scores
    return dense


def _union(views: Sequence[ViewPrediction]) -> Tensor:
    """The ids of the names that any view kept: (U,), ascending."""
    return views[0].kept if len(views) == 1 else torch.cat([view.kept for view in views]).unique()


def _blocks(
    views: Sequence[ViewPrediction], ids: Tensor, size: tuple[int, int], has_total: bool = False
) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """Blocks of rows, from top to bottom: (first, last) and the mean scores (U, last - first, W).

    With ``has_total``, the mean total is one more channel after the scores.
    """
    height, width = size
    canvas = views[0].canvas or size
    channels = max(len(ids), *(len(view.scores) for view in views))
    fits_cache = views[0].mix is not None and views[0].scores.device.type == "cpu"
    of_a_row = max(width, canvas[1] * canvas[0] // height)
    step = max(min(BLOCK, MIXED if fits_cache else BLOCK) // (channels * of_a_row), 1)
    for first in range(0, height, step):
        rows = (first, min(first + step, height))
        if canvas == size:
            yield rows, _merged(views, ids, rows, width, has_total)
            continue
        y = row_positions(rows, height, canvas[0], ids.device)
        source = (int(y[0]), min(int(y[-1]) + 2, canvas[0]))
        merged = _merged(views, ids, source, canvas[1], has_total)
        yield rows, _resize(interpolated_rows(merged, y - source[0]), (rows[1] - rows[0], width))


def _merged(views: Sequence[ViewPrediction], ids: Tensor, rows: tuple[int, int], width: int, has_total: bool) -> Tensor:
    """The mean scores of some rows: (U, rows, width), or one view's (K, rows, width)."""
    if len(views) == 1:
        return _whole_rows(views[0], rows)
    layers: dict[int, list[ViewPrediction]] = {}
    for view in views:
        layers.setdefault(view.layer, []).append(view)
    total, *others = (_mean(layer, ids, rows, width, has_total) for layer in layers.values())
    for other in others:
        total += other
    return total / len(layers) if others else total


def _mean(views: Sequence[ViewPrediction], ids: Tensor, rows: tuple[int, int], width: int, has_total: bool) -> Tensor:
    first, last = rows
    total = views[0].scores.new_zeros(len(ids) + has_total, last - first, width)
    covering = views[0].scores.new_zeros(last - first, width)
    for view in views:
        top, bottom = max(first, view.rows[0]), min(last, view.rows[1])
        if top < bottom and view.cols[0] < view.cols[1]:  # a window may be narrower than a pixel of a small picture
            place = (slice(top - first, bottom - first), slice(*view.cols))
            if len(view.kept) == len(ids):
                total[(slice(None), *place)] += _whole_rows(view, (top, bottom))
            else:
                slots = torch.searchsorted(ids, view.kept)
                if has_total:
                    slots = torch.cat([slots, slots.new_tensor([len(ids)])])
                total[(slots, *place)] += _whole_rows(view, (top, bottom))
            covering[place] += 1
    return total / covering


def _whole_rows(view: ViewPrediction, rows: tuple[int, int]) -> Tensor:
    """Some rows of the resized view, equal to those of resizing the whole view: (K, rows, the view's columns).

    Resizing and mixing are linear and may change places. The one that leaves fewer channels to the other comes first:
    mixing where K <= N, resizing where K > N.
    """
    scores, mix = _source_rows(view, rows), view.mix
    size = (rows[1] - rows[0], view.cols[1] - view.cols[0])
    if mix is None:
        return _resize(scores, size)
    if len(mix) <= len(scores) and scores.shape[1:] != size:
        return _resize(mixed(mix, scores), size)
    return mixed(mix, _resize(scores, size))


def _source_rows(view: ViewPrediction, rows: tuple[int, int]) -> Tensor:
    """The scores or maps of some rows, still of their own width: (channels, rows, w). All rows are not resized."""
    scores, height = view.scores, view.rows[1] - view.rows[0]
    if rows == view.rows:
        return scores
    first, last = rows[0] - view.rows[0], rows[1] - view.rows[0]
    if height == scores.shape[1]:
        return scores[:, first:last]
    return interpolated_rows(scores, row_positions((first, last), height, scores.shape[1], scores.device))


def _resize(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """(K, h, w) -> (K, *size). The names of a location are contiguous in memory: a CPU is then faster."""
    if scores.shape[1:] == size:
        return scores
    x = scores.permute(1, 2, 0).contiguous().unsqueeze(0).permute(0, 3, 1, 2)
    return resize(x, size).squeeze(0)
