"""What the plain forms of the systems share: how they are made, and how views are merged literally."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from .layers import copy_on_same_weights, resize
from .prediction import ViewPrediction, picture_size
from .segmenter import OpenVocabularySegmenter

__all__ = ["PlainScores", "merge", "plain_copy"]


class PlainScores(OpenVocabularySegmenter):
    """The prediction of a plain form, with the scores of all T names at full size. A base class beside the system's."""

    def forward(  # type: ignore[override]
        self, batched_inputs: list[dict]
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """As ``OpenVocabularySegmenter.forward``, without ``pixel_values``."""
        return self.losses(batched_inputs) if self.training else self._scores(batched_inputs)

    def label_maps(self, batched_inputs: list[dict]) -> list[Tensor]:
        """As ``OpenVocabularySegmenter.label_maps``: the best of all T names of every pixel."""
        return [scores["sem_seg"].argmax(0) for scores in self._scores(batched_inputs)]

    def _scores(self, batched_inputs: list[dict]) -> list[dict[str, Tensor]]:
        predicted = self.predict_views(batched_inputs)
        sizes = map(picture_size, batched_inputs)
        return [{"sem_seg": merge(views, size)} for views, size in zip(predicted, sizes, strict=True)]


def plain_copy(model: nn.Module, table: Mapping[type[nn.Module], type[nn.Module]]) -> nn.Module:
    """A copy of a model or module on the same parameters and buffers, with the classes of a table replaced."""
    plain = copy_on_same_weights(model)
    for module in plain.modules():
        module.__class__ = table.get(type(module), type(module))
    return plain


def merge(views: Sequence[ViewPrediction], size: tuple[int, int]) -> Tensor:
    """The scores of all names at full size: -> (T, *size).

    Where several views of a layer cover a pixel, they are averaged; then the layers are averaged, and the result is
    resized from the canvas to the picture.
    """
    if len(views) == 1:
        return resize(views[0].scores.unsqueeze(0), size).squeeze(0)
    canvas = views[0].canvas or size
    layers = sorted({view.layer for view in views})
    means = [_mean([view for view in views if view.layer == layer], canvas) for layer in layers]
    return resize(torch.stack(means).mean(0, keepdim=True), size).squeeze(0)


def _mean(views: Sequence[ViewPrediction], size: tuple[int, int]) -> Tensor:
    total, covering = views[0].scores.new_zeros(len(views[0].scores), *size), views[0].scores.new_zeros(size)
    for view in views:
        (top, bottom), (left, right) = view.rows, view.cols
        if top < bottom and left < right:
            total[:, top:bottom, left:right] += resize(view.scores[None], (bottom - top, right - left))[0]
            covering[top:bottom, left:right] += 1
    return total / covering
