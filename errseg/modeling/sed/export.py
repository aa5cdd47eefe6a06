"""SED for the export: without the text tower, and with a decoder that takes any number of images at once.

Shapes: B images, T names, P templates, D text dimension, S slots (the largest number of names that an image keeps), C
channels, h x w locations.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..layers import with_module
from ..prediction import Prediction
from .cost import prompt_costs
from .decoder import Decoder
from .rejection import Rejection

__all__ = ["TracedDecoder", "exportable"]


class TracedDecoder(nn.Module):
    """The decoder of a prediction for any number of images, which is unknown at tracing, and of names.

    With early rejection, every image has as many slots as the image that keeps most names. Its slots beyond its own
    names are empty: nothing attends to them, they get no vote, and their score is 0.

    Args:
        decoder: the decoder whose parts it shares.
    """

    def __init__(self, decoder: Decoder):
        super().__init__()
        self.embed, self.stages, self.head = decoder.embed, decoder.stages, decoder.head
        self.top_k = decoder.reject.top_k if isinstance(decoder.reject, Rejection) else None
        self.aux_heads: Any = [None] * len(self.stages) if self.top_k is None else decoder.aux_heads

    def predict(self, dense: Tensor, text: Tensor, maps: Sequence[Tensor]) -> Prediction:
        """See ``Decoder.predict``; with early rejection, the prediction is padded."""
        costs = prompt_costs(dense, text)
        batch, names = costs.shape[:2]
        kept, taken = torch.arange(names, device=costs.device).expand(batch, -1), None
        costs = costs.flatten(0, 1).to(self.head.weight.dtype)
        x = self.embed(costs)
        for i, (stage, head, image) in enumerate(zip(self.stages, self.aux_heads, maps, strict=True), 1):
            if self.top_k is not None and not _at_most(kept.shape[1], self.top_k):
                votes = self.votes(head(x).flatten(1).unflatten(0, (batch, kept.shape[1])), taken)
                slots, taken = first_slots(votes)
                kept = kept.gather(1, slots)
                x, costs = (rows(each, slots) for each in (x, costs))
            is_last = i == len(self.stages)
            x = stage(x, costs, image, self.head if is_last else None, taken)
            costs = costs if is_last else stage.skip.guide(costs)
        scores = x.squeeze(1).unflatten(0, (batch, kept.shape[1])).float().sigmoid()
        if taken is None:
            return Prediction(scores, kept)
        scores = scores.masked_fill(~taken[..., None, None], 0)
        return Prediction(scores, kept.masked_fill(~taken, -1), padded=True)

    def votes(self, logits: Tensor, taken: Tensor | None) -> Tensor:
        """The names that get a vote, among those that are still in: (B, S, h w) and (B, S) bool -> (B, S) bool."""
        if taken is not None:
            logits = logits.masked_fill(~taken.unsqueeze(2), -torch.inf)
        best = logits.topk(torch.sym_min(self.top_k, logits.shape[1]), dim=1).indices.flatten(1)  # (B, k h w)
        votes = torch.zeros_like(logits[..., 0]).scatter(1, best, 1.0) > 0
        return votes if taken is None else votes & taken


def _at_most(count: Any, most: int) -> bool:
    """Whether a number of names is known at tracing, and small."""
    return isinstance(count, int) and count <= most


def first_slots(votes: Tensor) -> tuple[Tensor, Tensor]:
    """The places of the names with a vote, ascending, and which of them belong to the image.

    (B, T) bool -> (B, S) int64, (B, S) bool. S is at least 2: the exporter treats a size of 1 apart.
    """
    counts = votes.sum(1)
    slots: Any = counts.max().clamp(min=2).item()
    torch._check(slots >= 2)
    torch._check(slots <= votes.shape[1])
    order = (~votes).to(torch.uint8).sort(dim=1, stable=True).indices.narrow(1, 0, slots)
    return order, torch.arange(slots, device=votes.device) < counts.unsqueeze(1)


def rows(x: Tensor, slots: Tensor) -> Tensor:
    """Some maps of each image: (B T, C, h, w) and places (B, S) -> (B S, C, h, w)."""
    batch, count = slots.shape
    first = torch.arange(batch, device=x.device).unsqueeze(1) * (x.shape[0] // batch)
    return x.movedim(1, -1)[(slots + first).flatten()].movedim(-1, 1)


def exportable(model: Any, open_vocabulary: bool) -> nn.Module:
    """A shallow copy of a SED that can be traced. It shares the weights; the model itself does not change.

    Args:
        model: a SED.
        open_vocabulary: the number of names is unknown when the model is traced; nothing depends on it.
    """
    clip = nn.Module()
    clip.visual = model.backbone.clip.visual
    other = with_module(model, "backbone", with_module(model.backbone, "clip", clip))
    return with_module(other, "decoder", TracedDecoder(model.decoder))
