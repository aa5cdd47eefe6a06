"""The comparison of CAT-Seg with recorded numbers of the released model, in both protocols.

A fixture names the model's size, the vocabulary and the pooling.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from ...agreement import share_of_equal_pixels
from ...config import config_path, load_config
from ...errors import UsageError, short
from ..parity import Fixture, Measures, Parity, Recorded, difference, sampled
from ..taps import Seen, watch
from .released import CONFIGS, MASK
from .spatial import window_mask

__all__ = ["PARITY"]

SIZES = {"base": CONFIGS[512], "large": CONFIGS[768]}
SLIDING = "sliding/"  # before the names of the arrays of the five views
LIMITS = {
    "score_diff": 1e-4,
    "max_logit_diff": 1e-3,
    **{f"{SLIDING}{name}": limit for name, limit in (("score_diff", 1e-4), ("max_logit_diff", 1e-3))},
    f"{SLIDING}prediction_differing": 1e-3,
}
FACTORS = (  # of rebuilt weights, by the beginning and the end of their names: plain noise gives nearly equal maps
    (24.0, "sem_seg_head.predictor.transformer.conv1.weight", ""),
    (16.0, "sem_seg_head.predictor.transformer.text_guidance_projection.0.weight", ""),
    (8.0, "sem_seg_head.predictor.transformer.layers.", "padding_guidance"),
    *((2.0, "sem_seg_head.predictor.clip_model.transformer.", f"{x}_proj_weight") for x in "qkv"),
)
LAST = "sem_seg_head.predictor.clip_model.visual.transformer.resblocks."
PER_CLASS = {"decoder_1_TCHW": "upsampled1", "decoder_2_TCHW": "upsampled2"}  # taps that see the classes in parts


def config(fixture: Fixture) -> CfgNode:
    """The configuration of the released model that a fixture records, with a single view.

    Raises:
        UsageError: there is no released model of that size.
    """
    size = str(fixture["model"])
    if size not in SIZES:
        raise UsageError(f"The fixture records the model {short(size)!r}; errseg has {' and '.join(SIZES)}.")
    cfg = load_config(config_path(SIZES[size]))
    cfg.defrost()
    cfg.MODEL.CLIP.PRETRAINED = ""
    key = "POOLING" if "loss" in fixture else "POOLING_TEST"
    cfg.MODEL.AGGREGATION[key] = fixture["pooling"].tolist()
    cfg.TEST.SLIDING_WINDOW = False
    return cfg


def rebuilt(weights: dict[str, Tensor], fixture: Fixture) -> dict[str, Tensor]:
    """The weights of a fixture: the rebuilt ones, some of them scaled, and the constant masks."""
    last = max(int(key.removeprefix(LAST).split(".")[0]) for key in weights if key.startswith(LAST))
    factors = (*FACTORS, (4.0, f"{LAST}{last}.attn.out_proj.weight", ""))
    result = {}
    for key, value in weights.items():
        for factor, start, end in factors:
            value = value * factor if key.startswith(start) and key.endswith(end) else value
        result[key] = window_mask(24, 12, 6) if key.endswith(MASK) else value
    return result


def measures(model: nn.Module, seen: Seen, scores: Tensor, fixture: Fixture) -> Measures:
    """Measures of tokens, text, logits and scores; then all of them for the five views."""
    yield from _compare("", model, seen, scores, fixture)
    own: Any = model
    if f"{SLIDING}prediction" in fixture:
        single, image = own.views, torch.from_numpy(fixture["image"]).permute(2, 0, 1)
        own.views = replace(single, sliding_window=True)
        with watch(model, _taps()) as other:
            [output] = model([{"image": image}])
        own.views = single
        for name, (tap, layout) in RECORDED.items():
            if f"{SLIDING}sample/{name}" in fixture:
                ours = layout(torch.cat(other[tap]) if isinstance(other[tap][0], Tensor) else other[tap][0])
                yield f"{SLIDING}{name}", _at(ours, f"{SLIDING}sample/{name}", f"{SLIDING}shape/{name}", fixture)
        yield from _compare(SLIDING, model, other, output["sem_seg"], fixture)
        labels = output["sem_seg"].argmax(0)
        yield (
            f"{SLIDING}prediction_differing",
            1 - share_of_equal_pixels([labels], [fixture[f"{SLIDING}prediction"]]),
        )


def _taps() -> set[str]:
    return {*(each.tap for each in RECORDED.values()), *TAPS}


def _compare(prefix: str, model: Any, seen: Seen, scores: Tensor, fixture: Fixture) -> Measures:
    """Measures of what ``RECORDED`` cannot express, for one protocol."""
    for name, tap in {
        **{f"visual_block_{i}": f"block{i}" for i in (3, 7, 10)},
        "visual_ln_pre": "visual_ln_pre",
    }.items():
        if f"{prefix}sample/{name}" in fixture and tap in seen:
            yield f"{prefix}{name}", _at(seen[tap][0], f"{prefix}sample/{name}", f"{prefix}shape/{name}", fixture)
    dense = seen["encoder"][0]["dense"].flatten(2).mT
    yield f"{prefix}visual_block_11_dense", _of_patches(seen["last_block"][0], prefix, "visual_block_11_dense", fixture)
    yield f"{prefix}dense_tokens", _of_patches(dense, prefix, "dense_tokens", fixture)
    text = model.encoded().text
    yield f"{prefix}text_features", _at(text, f"{prefix}sample/text_features", f"{prefix}shape/text_features", fixture)
    for name, tap in PER_CLASS.items():
        shape = fixture[f"{prefix}shape/{name}"]
        first = torch.cat(seen[tap])[: shape[0]]
        yield f"{prefix}{name}", _at(first, f"{prefix}sample/{name}", f"{prefix}shape/{name}", fixture)
    logits, recorded = seen["logits"][0], f"{prefix}head_logits_4096" if prefix else "logits_4096"
    yield f"{prefix}max_logit_diff", _at(logits, recorded, "", fixture)
    yield f"{prefix}score_diff", _at(scores, f"{prefix}scores_4096", "", fixture)


def _at(values: Tensor, recorded: str, shape: str, fixture: Fixture) -> float:
    """The largest difference at the flat indices at which an array was recorded.

    Where the recorded array has fewer rows, those of the first view, ours is cut to them.
    """
    flat = values.contiguous().flatten()
    count = int(np.prod(fixture[shape])) if shape in fixture else flat.numel()
    theirs = fixture[recorded]
    return difference(flat[:count][sampled(count, len(theirs))], theirs)


def _of_patches(tokens: Tensor, prefix: str, name: str, fixture: Fixture) -> float:
    """The largest difference of recorded tokens (B, 1 + g g, C), without the class token, which ours lack."""
    batch, length, width = fixture[f"{prefix}shape/{name}"].tolist()
    places = sampled(batch * length * width, 256)
    view, rest = places // (length * width), places % (length * width)
    of_patches = rest >= width
    ours = tokens.reshape(batch, -1)
    found = ours[view[of_patches], rest[of_patches] - width]
    return difference(found, fixture[f"{prefix}sample/{name}"][of_patches])


def _as_classes(x: Tensor) -> Tensor:
    """(B, K, g g, C) -> (B, C, K, g, g)."""
    side = round(x.shape[2] ** 0.5)
    return x.permute(0, 3, 1, 2).unflatten(3, (side, side))


RECORDED = {
    "upsample1": Recorded("upsample1"),
    "upsample2": Recorded("upsample2"),
    "cost": Recorded("cost", lambda x: x.unsqueeze(1)),
    "cost_embedding_TCHW": Recorded("cost_embedding", lambda x: _as_classes(x)[0].transpose(0, 1)),
    "image_guidance": Recorded("image_guidance"),
    "text_guidance": Recorded("text_guidance"),
    "decoder_guidance_1": Recorded("decoder_guidance1"),
    "decoder_guidance_2": Recorded("decoder_guidance2"),
    **{f"layer_{i}_spatial": Recorded(f"spatial{i + 1}", _as_classes) for i in range(2)},
    **{f"layer_{i}_class": Recorded(f"layer{i + 1}", _as_classes) for i in range(2)},
    "logits": Recorded("logits"),
}
TAPS = ("encoder", "visual_ln_pre", "block3", "block7", "block10", "last_block", *PER_CLASS.values(), "logits")
PARITY = Parity(
    needs=("model", "pooling", "class_names"),
    config=config,
    key_table=lambda fixture: f"cat_seg_state_dict_{fixture['model']}.json",
    recorded=RECORDED,
    measures=measures,
    taps=TAPS,
    limits=LIMITS,
    rebuilt=rebuilt,
    gradient_floor=1e-6,
    lacks=("K", "resolution", "early_rejection"),
)
