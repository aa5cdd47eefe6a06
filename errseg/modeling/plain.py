"""What the plain forms of the systems share: how they are made, and what they compute literally in the same way.

Shapes: B images, T names, K names kept, N prompts, D text dimension, H x W an image's size.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .clip.prompts import TokenizedNames
from .layers import copy_on_same_weights, resize
from .prediction import ViewPrediction, picture_size
from .segmenter import OpenVocabularySegmenter

__all__ = ["PlainScores", "encode_prompts", "literal_loss", "mean_of_prompts", "merge", "of_all_names", "plain_copy"]

CHUNK = 128  # prompts that the text tower encodes at once where no gradient is kept


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
    """The plain form of a model or of one of its modules, on the same parameters and buffers.

    A whole model keeps its vocabulary; the plain form encodes the names again.

    Args:
        model: of a system.
        table: the classes of the system, each with its plain class.
    """
    plain = copy_on_same_weights(model)
    for module in plain.modules():
        module.__class__ = table.get(type(module), type(module))
    if isinstance(plain, PlainScores):
        plain.encode_again()
    return plain


def encode_prompts(clip: Any, tokens: Tensor) -> Tensor:
    """Encode prompts at all positions of the context: (N, L) token ids -> (N, D) of unit length."""
    parts = [tokens] if torch.is_grad_enabled() else tokens.split(CHUNK)
    return torch.cat([F.normalize(clip.encode_text(part).float(), dim=-1) for part in parts])


def mean_of_prompts(clip: Any, tokenized: TokenizedNames, device: torch.device) -> Tensor:
    """The mean over a name's prompts: T names -> (T, D) of unit length."""
    prompts = encode_prompts(clip, tokenized.tokens.to(device))
    if len(prompts) == len(tokenized.names):  # one prompt each, as in the papers of ERR-Seg and CAT-Seg
        return prompts
    total = prompts.new_zeros(len(tokenized.names), prompts.shape[1])
    return F.normalize(total.index_add(0, tokenized.owner.to(device), prompts), dim=-1)


def of_all_names(logits: Tensor, kept: Tensor, count: int, dropped: float) -> tuple[Tensor, Tensor]:
    """Logits of all T names, ``dropped`` for those that are not kept, and the ids (B, T).

    (B, K, h, w) and the ids of the names kept (B, K) -> (B, T, h, w); ``count`` is T.
    """
    dense = logits.new_full((len(logits), count, *logits.shape[-2:]), dropped)
    dense = dense.scatter(1, kept[..., None, None].expand_as(logits), logits)
    return dense, torch.arange(count, device=kept.device).expand(len(logits), -1)


def literal_loss(logits: Tensor, labels: Tensor, ignore_label: int) -> Tensor:
    """Binary cross-entropy of all names, mean over B T H W: (B, T, h, w), (B, H, W) -> scalar."""
    logits, count = resize(logits, labels.shape[-2:]), logits.shape[1]
    ids = labels.masked_fill(labels == ignore_label, count)
    targets = F.one_hot(ids, count + 1)[..., :count].permute(0, 3, 1, 2)  # ignored pixels have no class
    return F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype))


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
