"""The taps of CAT-Seg.

Shapes: B images, T names, K classes kept, C and G channels of the costs and of their guidance, D the dimension that
image and text share, g x g locations, L = 1 + g g tokens, n K of one or several parts of the classes.
"""

from typing import Any

from torch import nn

from ..taps import Tap, first_argument
from .head import Unchanged, Unguided

__all__ = ["STAGES", "taps"]

STAGES = {  # name in figures: tap
    "CLIP image tower": "encoder",
    "cost": "cost_embedding",
    "aggregation": "aggregated",
    "decoder": "logits",
}


def taps(model: Any) -> dict[str, Tap]:
    """The taps of a ``CATSeg``, by name; an ablation lacks the taps of the modules that it removes."""
    visual, head = model.backbone.clip.visual, model.sem_seg_head
    blocks = visual.transformer.resblocks
    found = {
        "encoder": Tap(model.backbone),  # the features by name, "dense" (B, D, g, g) first among them
        "visual_ln_pre": Tap(visual.ln_pre),  # (B, L, width)
        **{f"block{i}": Tap(block) for i, block in enumerate(list(blocks)[:-1])},  # (B, L, width), its output
        "last_block": Tap(visual.ln_post, first_argument),  # (B, g g, width), the output of the last block
        **{
            f"upsample{i}": Tap(up) for i, up in enumerate(model.backbone.upsample, 1)
        },  # (B, ., 2 g, 2 g), (B, ., 4 g, 4 g)
        "cost": Tap(head.embedding, first_argument),  # (B, K, g, g) cosines
        "cost_embedding": Tap(head.embedding),  # (B, K, g g, C)
        "image_guidance": Tap(head.image_guidance),  # (B, G, g, g)
        "text_guidance": Tap(head.text_guidance),  # (B or 1, K, G)
        **{f"spatial{i}": Tap(layer.spatial) for i, layer in enumerate(head.layers, 1)},  # (B, K, g g, C)
        **{f"layer{i}": Tap(layer) for i, layer in enumerate(head.layers, 1)},  # (B, K, g g, C)
        "aggregated": Tap(head.layers[-1]),  # (B, K, g g, C)
        **{
            f"decoder_guidance{i}": Tap(each) for i, each in enumerate(head.decoder.guidance, 1)
        },  # (B, ., 2 g, 2 g) ...
        **{
            f"upsampled{i}": Tap(stage) for i, stage in enumerate(head.decoder.stages, 1)
        },  # (n K, ., 2 g, 2 g), in parts
        "logits": Tap(head.decoder),  # (B, K, 4 g, 4 g)
        "head": Tap(head),  # logits and ids
    }
    return {name: tap for name, tap in found.items() if not _is_left_out(tap.module)}


def _is_left_out(module: nn.Module) -> bool:
    return isinstance(module, (Unchanged, Unguided))
