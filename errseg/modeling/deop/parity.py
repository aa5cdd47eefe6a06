"""The comparison of DeOP with recorded numbers of the released model.

A fixture names the patch severance, the severed blocks and the vocabulary.
"""

from operator import attrgetter, itemgetter
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from ...config import config_path, load_config
from ..parity import Fixture, Measures, Parity, Recorded, difference, sampled
from ..taps import Seen, watch
from .released import CONFIG, CONSTANT, SIGNALS

__all__ = ["PARITY"]

LIMITS = {
    "mask_logit_diff": 2e-3,
    "query_logit_diff": 4e-3,
    **{f"{mode}summed_score_diff": 1e-3 for mode in ("", "none/", "plain/")},
}
FACTORS = (  # of rebuilt weights, by the beginning and the end of their names: plain noise gives 100 equal masks
    (48.0, "sem_seg_head.predictor.query_embed", ""),
    (32.0, "query_embedding", ""),
    (2.0, "sem_seg_head.predictor.transformer.", "in_proj_weight"),
    (2.0, "clip_adapter.clip_model.transformer.", "in_proj_weight"),
    (2.0, "sem_seg_head.predictor.mask_embed.layers.2.weight", ""),
    (2.0, "decoder.outlayer.multihead_attn_my.in_proj_weight", ""),
    (0.3, "clip_adapter.clip_model.visual.transformer.resblocks.11.attn.out_proj.weight", ""),
)
OTHERS = ("none", "plain")  # patch severances that a fixture may hold besides its own


def config(fixture: Fixture) -> CfgNode:
    """The configuration of the released model that a fixture records."""
    cfg = load_config(config_path(CONFIG))
    cfg.defrost()
    cfg.MODEL.CLIP.PRETRAINED = ""
    cfg.MODEL.PATCH_SEVERANCE.MODE = str(fixture["patch_severance"])
    cfg.MODEL.PATCH_SEVERANCE.BLOCKS = fixture["severed_blocks"].tolist()
    return cfg


def rebuilt(weights: dict[str, Tensor], fixture: Fixture) -> dict[str, Tensor]:
    """The weights of a fixture: the rebuilt ones, some of them scaled or replaced."""
    result = {}
    for key, value in weights.items():
        if key.endswith("running_var"):
            value = 1 + 5 * value.abs()  # from 0.02 x to 1 + 0.1 |x|
        for factor, start, end in FACTORS:
            value = value * factor if key.startswith(start) and key.endswith(end) else value
        result[key] = value
    rows = result["clip_adapter.clip_model.token_embedding.weight"]
    result |= {key: rows[row : row + 1] for key, row in SIGNALS.items()}
    result[CONSTANT] = torch.cat([torch.ones(len(weights[CONSTANT]) - 1), torch.tensor([0.1])])
    overrides = {key.removeprefix("override/"): fixture[key] for key in fixture if key.startswith("override/")}
    return result | {key: torch.from_numpy(value) for key, value in overrides.items()}


def measures(model: nn.Module, seen: Seen, scores: Tensor, fixture: Fixture) -> Measures:
    """Measures of masks, tokens, the dense embedding, class logits and scores; also for other patch severances."""
    size = tuple(fixture["mask_sum"].shape)
    yield "mask_logit_diff", _at(seen["proposals"][0].masks, fixture["masks_4096"])
    at_patches = seen["severance"][0][0, -size[0] * size[1] :]  # (h w, N), without the class token
    yield "mask_sum", difference(at_patches.sum(-1).unflatten(0, size), fixture["mask_sum"])
    yield "visual_block_10", _of_patches(seen["block11"][0], "visual_block_10", fixture)
    yield "visual_block_11", _of_patches(seen["last_block"][0], "visual_block_11", fixture)
    yield from _compare("", seen, scores, fixture)
    backbone: Any = model.backbone
    own, image = backbone.attentions, torch.from_numpy(fixture["image"]).permute(2, 0, 1)
    for mode in OTHERS:
        if f"{mode}/F_V_4096" in fixture:
            backbone.sever(mode, fixture["severed_blocks"].tolist())
            with watch(model, ("dense", "class_logits")) as other:
                [output] = model([{"image": image}])
            yield from _compare(f"{mode}/", other, output["sem_seg"], fixture)
    backbone.attentions = own


def _compare(prefix: str, seen: Seen, scores: Tensor, fixture: Fixture) -> Measures:
    yield f"{prefix}F_V_4096", _at(seen["dense"][0], fixture[f"{prefix}F_V_4096"])
    logits = seen["class_logits"][0]
    if f"{prefix}query_logits" in fixture:
        yield "query_logit_diff", difference(logits[0], fixture[f"{prefix}query_logits"])
    else:
        yield f"{prefix}query_logits_4096", _at(logits, fixture[f"{prefix}query_logits_4096"])
    yield f"{prefix}summed_score_diff", _at(scores, fixture[f"{prefix}scores_4096"])


def _at(values: Tensor, recorded: np.ndarray) -> float:
    """The largest difference at the flat indices at which an array was recorded."""
    flat = values.contiguous().flatten()
    return difference(flat[sampled(flat.numel(), len(recorded))], recorded)


def _of_patches(tokens: Tensor, name: str, fixture: Fixture) -> float:
    """The largest difference of recorded tokens (1, 1 + h w, C), without the class token, which ours may lack."""
    _, length, width = fixture[f"shape/{name}"].tolist()
    places = sampled(length * width, 256)
    patches, of_patches = tokens[0, 1 - length :].flatten(), places >= width
    return difference(patches[places[of_patches] - width], fixture[f"sample/{name}"][of_patches])


RECORDED = {
    **{name: Recorded("proposal_maps", itemgetter(name)) for name in ("res2", "res3", "res4", "res5")},
    "mask_features": Recorded("mask_features"),
    "proposal_queries": Recorded("proposals", attrgetter("queries")),
    "visual_ln_pre": Recorded("visual_ln_pre"),
    "visual_block_5": Recorded("block6"),
    "anchor_layer": Recorded("anchor_layer1"),
    "heatmap_mean": Recorded("heatmaps", lambda x: x.mean(1)),
    "F_I": Recorded("regions"),
    "text_features": Recorded("text"),
}
PARITY = Parity(
    needs=("patch_severance", "severed_blocks", "class_names"),
    config=config,
    key_table=lambda fixture: "deop_state_dict.json",
    recorded=RECORDED,
    measures=measures,
    taps=("proposals", "severance", "block11", "last_block", "dense", "class_logits"),
    limits=LIMITS,
    rebuilt=rebuilt,
    gradient_floor=1e-6,
)
