"""The taps of SED.

Shapes: B images, N maps of single names, P templates, C channels. A model without gradients calls the modules with an
image at a time, and those marked "in parts" with a few names at a time.
"""

from typing import Any

from ..taps import Tap, first_argument

__all__ = ["STAGES", "taps"]

STAGES = {  # name in figures: tap
    "encoder": "encoder",
    "cost embedding": "cost_embedding",
    **{f"stage {i}": f"stage{i}" for i in (1, 2, 3)},
}


def taps(model: Any) -> dict[str, Tap]:
    """The taps of a ``SED``, by name; stages are counted from 1."""
    decoder = model.decoder
    found = {
        "encoder": Tap(model.backbone),  # the feature maps and E32 (B, D, n, n), by name
        "costs": Tap(decoder.embed, first_argument),  # (N, P, n, n) cosines
        "cost_embedding": Tap(decoder.embed),  # (N, C, n, n)
        "fused3": Tap(decoder.head, first_argument),  # (N, C, 8 n, 8 n), in parts
        "logits": Tap(decoder.head),  # (N, 1, 8 n, 8 n), in parts
    }
    for i, stage in enumerate(decoder.stages, 1):
        found |= {
            f"stage{i}": Tap(stage),  # its output (N, C, h, w); of the last one, the logits
            f"spatial{i}": Tap(stage.spatial),  # (N, C, h, w)
            f"class{i}": Tap(stage.attention),  # (N, C, h, w)
            f"features{i}": Tap(stage.skip.features),  # (B, C, 2 h, 2 w)
            f"cost_guidance{i}": Tap(stage.skip.costs),  # (N, C, 2 h, 2 w), in parts
        }
    return found
