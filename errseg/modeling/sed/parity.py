"""The comparison of SED with recorded numbers of the released model.

A fixture names the model's size, the vocabulary, the resolution, and what the other protocols of its file are.
"""

from collections.abc import Iterator
from operator import itemgetter
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
from .rejection import Rejection
from .released import CLIP, CONFIGS, DECODER

__all__ = ["PARITY"]

SIZES = dict(zip(("base", "large"), CONFIGS.values(), strict=True))
FACTORS = (  # of rebuilt weights, by the beginning and the end of their names: with plain noise names hardly matter
    (3.0, f"{CLIP}transformer.", "attn.in_proj_weight"),
    (32.0, f"{DECODER}conv1.weight", ""),
    (32.0, f"{DECODER}decoder_corr_guidance_projection.0.0.weight", ""),
    (4.0, f"{DECODER}head.weight", ""),
)
PROTOCOLS = {"pool2": (2, 0), "top4": (1, 4), "top1": (1, 1)}  # pooling; k of early rejection, 0 for none
LIMITS = {
    "sed_logit_diff": 1e-3,
    "disagreement": 2e-4,
    **{f"{protocol}/{name}": limit for protocol in PROTOCOLS for name, limit in
       (("score_diff", 1e-4), ("disagreement", 2e-4), ("kept_differing", 0))},
}  # fmt: skip


def config(fixture: Fixture) -> CfgNode:
    """The configuration of the released model that a fixture records, without drop-path.

    Raises:
        UsageError: there is no released model of that size.
    """
    size = str(fixture["model"])
    if size not in SIZES:
        raise UsageError(f"The fixture records the model {short(size)!r}; errseg has {' and '.join(SIZES)}.")
    cfg = load_config(config_path(SIZES[size]))
    cfg.defrost()
    cfg.MODEL.CLIP.PRETRAINED = ""
    cfg.MODEL.FUSION.POOLING_TEST = int(fixture["pooling"])
    cfg.MODEL.REJECTION.ENABLED, cfg.MODEL.REJECTION.TOP_K = bool(fixture["early_rejection"]), int(fixture["top_k"])
    cfg.INPUT.RESOLUTION_TRAIN = cfg.INPUT.RESOLUTION_TEST = int(fixture["resolution"])
    return cfg


def rebuilt(weights: dict[str, Tensor], fixture: Fixture) -> dict[str, Tensor]:
    """The weights of a fixture: the rebuilt ones, some of them scaled."""
    result = dict(weights)
    for factor, start, end in FACTORS:
        result |= {key: value * factor for key, value in weights.items() if key.startswith(start) and key.endswith(end)}
    return result


def measures(model: nn.Module, seen: Seen, scores: Tensor, fixture: Fixture) -> Measures:
    """Measures of the parts that run a few names at a time, of logits and scores, and of the other protocols."""
    decoder: Any = model.decoder
    with torch.no_grad():
        inputs = [seen["cost_embedding"][0], seen["stage1"][0], seen["stage2"][0]]
        aux = [head(x).squeeze(1) for head, x in zip(decoder.aux_heads, inputs, strict=True)]
    logits = torch.cat(seen["logits"]).squeeze(1)
    ours = {
        "text_features": model.text_embeddings,
        **{f"aux_logits_{i}": each for i, each in enumerate(aux)},
        # Those of a stage are made a second time for the next one
        **{f"cost_guidance_{i}": torch.cat(seen[f"cost_guidance{i}"])[: len(logits)] for i in (1, 2, 3)},
        "stage_3_out": torch.cat(seen["fused3"]),
        "logits": logits,
    }
    for name, value in ours.items():
        if f"sample/{name}" in fixture:
            yield name, _at(value, fixture[f"sample/{name}"])
    yield "sed_logit_diff", _at(logits, fixture["logits_4096"])
    yield "score_diff", _at(scores, fixture["scores_4096"])
    yield "disagreement", 1 - share_of_equal_pixels([scores.argmax(0)], [fixture["prediction"]])
    for protocol, (pooling, top_k) in PROTOCOLS.items():
        if f"{protocol}/prediction" in fixture:
            yield from _compare(model, protocol, pooling, top_k, fixture)


def _compare(model: Any, protocol: str, pooling: int, top_k: int, fixture: Fixture) -> Iterator[tuple[str, float]]:
    """The measures of another protocol, on the same weights and image."""
    attentions, reject = [stage.attention for stage in model.decoder.stages], model.decoder.reject
    before = [attention.pooling_test for attention in attentions]
    try:
        for attention in attentions:
            attention.pooling_test = pooling
        model.decoder.reject = Rejection(top_k) if top_k else reject
        with watch(model, ["costs", *(f"spatial{i}" for i in (1, 2, 3))]) as seen:
            [output] = model([{"image": torch.from_numpy(fixture["image"]).permute(2, 0, 1)}])
    finally:
        model.decoder.reject = reject
        for attention, own in zip(attentions, before, strict=True):
            attention.pooling_test = own
    scores = output["sem_seg"]
    yield f"{protocol}/score_diff", _at(scores, fixture[f"{protocol}/scores_4096"])
    yield f"{protocol}/disagreement", 1 - share_of_equal_pixels([scores.argmax(0)], [fixture[f"{protocol}/prediction"]])
    if top_k:  # the names of the last stage, and the numbers of those before
        ours = set(scores.flatten(1).amax(1).nonzero().flatten().tolist())
        counts = [abs(len(seen[f"spatial{i}"][0]) - len(fixture[f"{protocol}/kept_{i}"])) for i in (1, 2, 3)]
        yield f"{protocol}/kept_differing", float(len(ours ^ set(fixture[f"{protocol}/kept_3"].tolist())) + sum(counts))


def _at(values: Tensor, recorded: np.ndarray) -> float:
    """The largest difference at the flat indices at which an array was recorded."""
    flat = values.contiguous().flatten()
    return difference(flat[sampled(flat.numel(), len(recorded))], recorded)


RECORDED = {
    **{f"encoder_{name}": Recorded("encoder", itemgetter(name)) for name in ("os4", "os8", "os16", "os32")},
    "dense_embedding": Recorded("encoder", itemgetter("E32")),
    "cost_map": Recorded("costs", lambda x: x.unsqueeze(0)),
    "cost_embedding": Recorded("cost_embedding"),
    **{f"feature_guidance_{i}": Recorded(f"features{i}") for i in (1, 2, 3)},
    **{f"stage_{i}_spatial": Recorded(f"spatial{i}") for i in (1, 2, 3)},
    **{f"stage_{i}_class": Recorded(f"class{i}", lambda x: x.transpose(0, 1).unsqueeze(0)) for i in (1, 2, 3)},
    **{f"stage_{i}_out": Recorded(f"stage{i}") for i in (1, 2)},
}
PARITY = Parity(
    needs=("model", "early_rejection", "top_k", "pooling", "resolution", "class_names"),
    config=config,
    key_table=lambda fixture: f"sed_state_dict_{fixture['model']}.json",
    recorded=RECORDED,
    measures=measures,
    taps=("cost_embedding", "stage1", "stage2", "fused3", "logits", *(f"cost_guidance{i}" for i in (1, 2, 3))),
    limits=LIMITS,
    rebuilt=rebuilt,
)
