"""The comparison of ERR-Seg with recorded numbers of the released model.

A fixture names the model's size, the vocabulary, K and the resolution.
"""

from operator import itemgetter
from typing import Any

from detectron2.config import CfgNode
from torch import Tensor, nn

from ...config import get_cfg
from ...errors import UsageError, short
from ..parity import Fixture, Measures, Parity, Recorded, difference, sampled
from ..taps import Seen

SIZES = {"base": "convnext_base_w_320", "large": "convnext_large_d_320"}
ENCODER = {"E16": "encoder_os16_dense", "E32": "encoder_clip_vis_dense"}  # ours, recorded
MAPS = ("os4", "os8", "os16", "os32", "E16", "E32")
LAYERS, STAGES = 4, 3  # layers of ESCF, stages of GUD
LIMITS = {"max_logit_diff": 1e-3, "score_diff": 1e-4}


def config(fixture: Fixture) -> CfgNode:
    """The configuration of the released model that a fixture records, without drop-path.

    Raises:
        UsageError: there is no released model of that size.
    """
    size = str(fixture["model"])
    if size not in SIZES:
        raise UsageError(f"The fixture records the model {short(size)!r}; errseg has {' and '.join(SIZES)}.")
    cfg = get_cfg()
    cfg.MODEL.CLIP.NAME = SIZES[size]
    cfg.MODEL.CRM.NUM_CLASSES_TRAIN = int(fixture["K"])
    cfg.MODEL.ESCF.DROP_PATH = 0.0
    cfg.INPUT.RESOLUTION_TRAIN = cfg.INPUT.RESOLUTION_TEST = int(fixture["resolution"])
    return cfg


def key_table(fixture: Fixture) -> str:
    """The file with the names and shapes of the released weights."""
    return f"official_state_dict_{fixture['model']}.json"


def measures(model: nn.Module, seen: Seen, scores: Tensor, fixture: Fixture) -> Measures:
    """Measures of CRM's scores and kept names, of the logits, and of the scores of the names kept."""
    [(logits, kept)] = seen["head"]
    if "class_scores" in fixture:
        head: Any = model.sem_seg_head
        yield "class_scores", difference(head.crm.scores(seen["cost"][0]), fixture["class_scores"])
    if "selected_classes" in fixture:  # where they differ, the later measures compare different classes
        ours, theirs = set(kept.flatten().tolist()), set(fixture["selected_classes"].flatten().tolist())
        yield "selected_classes_differing", float(len(ours ^ theirs))
    for name, values in (("logits_4096", logits.flatten()), ("scores_4096", scores[kept[0]].flatten())):
        if name in fixture:
            measure = "max_logit_diff" if name == "logits_4096" else "score_diff"
            yield measure, difference(values[sampled(values.numel(), 4096)], fixture[name])


RECORDED = {
    **{ENCODER.get(name, f"encoder_{name}"): Recorded("encoder", itemgetter(name)) for name in MAPS},
    "cost_map_os16": Recorded("cost", lambda x: x.unsqueeze(1)),
    "cost_embedding": Recorded("hsm", lambda x: x.flatten(0, 1).permute(0, 3, 1, 2)),
    "image_guidance": Recorded("image_guidance", lambda x: x.permute(0, 3, 1, 2)),
    "text_guidance": Recorded("text_guidance"),
    **{f"fusion_layer_{i}": Recorded(f"layer{i + 1}", lambda x: x.permute(0, 4, 1, 2, 3)) for i in range(LAYERS)},
    **{f"upsample_stage_{i}": Recorded(f"upsample{i}") for i in range(1, STAGES + 1)},
    "selected_logits": Recorded("head", lambda output: output[0][0]),
}
PARITY = Parity(("model", "K", "resolution"), config, key_table, RECORDED, measures, ("cost", "head"), LIMITS)
