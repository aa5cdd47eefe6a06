"""The taps of DeOP.

Shapes: B images, N masks and anchors, T names, C channels, D the dimension that image and text share, L tokens.
"""

from typing import Any

from torch import Tensor, nn

from ..taps import Tap, first_argument

__all__ = ["STAGES", "taps"]

STAGES = {  # name in figures: tap
    "proposal backbone": "proposal_maps",
    "pixel decoder": "mask_features",
    "proposals": "proposals",
    "CLIP image tower": "dense",
    "anchors": "regions",
    "classes": "class_logits",
}


def taps(model: Any) -> dict[str, Tap]:
    """The taps of a ``DeOP``, by name."""
    proposals, visual, anchors = model.proposals, model.backbone.clip.visual, model.anchors
    blocks = visual.transformer.resblocks
    return {
        "proposal_maps": Tap(proposals.backbone),  # res2 ... res5 (B, C, h, w), by name
        "mask_features": Tap(proposals.pixel_decoder),  # (B, C, H / 4, W / 4)
        "proposals": Tap(proposals),  # masks (B, N, H / 4, W / 4) and queries (B, N, C)
        "visual_ln_pre": Tap(visual.ln_pre),  # (B, L, C)
        # The input of each block, from 0: (B, L, C), with learned positions; the last may lack the class token
        **{f"block{i}": Tap(block.ln_1, first_argument) for i, block in enumerate(blocks)},
        "last_block": Tap(visual.ln_post, first_argument),  # (B, h w, C), the output of the last block
        "severance": Tap(model.backbone.attentions[-1], _third_argument),  # (B, L, N) probabilities of the masks
        "tower_inputs": Tap(model.backbone, _arguments),  # images (B, 3, H, W) and mask logits
        "dense": Tap(model.backbone),  # F_V (B, D, h, w)
        **{f"anchor_layer{i}": Tap(layer) for i, layer in enumerate(anchors.layers, 1)},  # (B, N, D)
        "heatmap_inputs": Tap(anchors.outlayer.heatmaps, _arguments),  # queries, keys, mask probabilities (B, N, h w)
        "heatmaps": Tap(anchors.outlayer.heatmaps),  # (B, heads, N, h w)
        "regions": Tap(anchors),  # F_I (B, N, D)
        "class_logits": Tap(model.classifier),  # (B, N, T + 1), no-object last
        "text": Tap(model.classifier, _rows),  # (T + 1, D), no-object last
    }


def _arguments(module: nn.Module, arguments: tuple, output: Any) -> tuple:
    return arguments


def _third_argument(module: nn.Module, arguments: tuple, output: Any) -> Any:
    return arguments[2]


def _rows(module: Any, arguments: tuple, output: Any) -> Tensor:
    return module.rows(arguments[1])
