"""DeOP for the export: what a prediction from text embeddings needs, with frozen norms folded into the convolutions."""

from typing import Any

from torch import nn

from ..layers import with_module
from .frozen_norm import with_folded_norms

__all__ = ["exportable"]


def exportable(model: Any, open_vocabulary: bool) -> nn.Module:
    """A copy of a DeOP that can be traced: without text tower, prompt and class embeddings of stage 2.

    It shares all weights but those of the convolutions with frozen norms; the model itself does not change.

    Args:
        model: a DeOP.
        open_vocabulary: the number of names is unknown when the model is traced; nothing depends on it.
    """
    clip = nn.Module()
    clip.visual = model.backbone.clip.visual
    proposals: Any = with_folded_norms(model.proposals)
    proposals.predictor = with_module(proposals.predictor, "class_embed", nn.Identity())
    other = with_module(model, "backbone", with_module(model.backbone, "clip", clip))
    other = with_module(other, "proposals", proposals)
    return with_module(other, "prompt", nn.Identity())
