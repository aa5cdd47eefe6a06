"""DeOP: masks of a frozen proposal network, one pass through CLIP with patch severance, and classification anchors.

The section numbers in this folder are those of a description of the authors' released model, the model's contract: 2
mask proposals, 3 image tower, 4 anchors, 5 names, 6 prediction, 7 the last training stage, 8 the stages before, 12
work, 13 checkpoint. ``docs/deop.md`` describes the same parts.
"""

from typing import Any

from detectron2.config import CfgNode
from torch import nn

from ..system import Mini, System, register
from .config import ARGUMENT_KEYS, KEY_RANGES, TRAINING_KEYS, add_config
from .export import exportable
from .image_tower import SeveredViTCLIP
from .measures import MEASURES, STAGE2_MEASURES
from .model import DeOP
from .panels import PANELS
from .parity import PARITY
from .plain import plain_form
from .released import RELEASED
from .resnet import ResNet18c, ResNet18cHalf, ResNet50, ResNet101c
from .stage1 import CANNOT_SEGMENT, DeOPPrompt
from .stage2 import DeOPProposals
from .taps import STAGES, taps

__all__ = [
    "DEOP",
    "DEOP_PROMPT",
    "DEOP_PROPOSALS",
    "DeOP",
    "DeOPPrompt",
    "DeOPProposals",
    "ResNet18c",
    "ResNet18cHalf",
    "ResNet50",
    "ResNet101c",
    "SeveredViTCLIP",
]

CITATION = """\
@inproceedings{han2023deop,
  title     = {Open-Vocabulary Semantic Segmentation with Decoupled One-Pass Network},
  author    = {Han, Cong and Zhong, Yujie and Li, Dengjie and Han, Kai and Ma, Lin},
  booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision},
  pages     = {1086--1096},
  year      = {2023}
}
"""
MINI = Mini(
    "deop",
    "mini/deop_mini",
    "vit",
    {"mini/deop_mini_stage1": "MODEL.PROMPT.WEIGHTS", "mini/deop_mini_stage2": "MODEL.PROPOSALS.WEIGHTS"},
    "mini/deop_ablations",
)
PARTS = {
    "backbone.clip.visual.": "CLIP image tower",
    "backbone.clip.": "CLIP text tower",
    "backbone.learned.": "learned positions",
    "proposals.": "proposal network",
    "anchors.": "anchors",
    "prompt.": "learned prompt",
    "classifier.": "no-object embedding",
}


def needs_weights(cfg: CfgNode) -> dict[str, str]:
    """The parts that the last stage does not train, with the keys of their weights."""
    return {"proposal network": "MODEL.PROPOSALS.WEIGHTS"} | ({} if cfg.MODEL.PROMPT.TRAINED else frozen_prompt(cfg))


def frozen_prompt(cfg: CfgNode) -> dict[str, str]:
    """The learned prompt, if there is one, with the key of its weights."""
    return {"learned prompt": "MODEL.PROMPT.WEIGHTS"} if cfg.MODEL.PROMPT.LEARNED else {}


def counted(model: Any) -> dict[str, list[nn.Module]]:
    """The parts whose multiply-adds the contract gives (section 12); the rest of a run are the scores."""
    return {
        "backbone": [model.proposals.backbone],
        "pixel_decoder": [model.proposals.pixel_decoder],
        "predictor": [model.proposals.predictor],
        "image_tower": [model.backbone],
        "anchors": [model.anchors],
    }


DEOP = register(
    System(
        name="DeOP",
        meta_architecture="DeOP",
        citation=CITATION,
        config="deop_vit_b16",
        add_config=add_config,
        key_ranges=KEY_RANGES,
        training_keys=TRAINING_KEYS,
        backbones=(SeveredViTCLIP,),
        argument_keys=ARGUMENT_KEYS,
        parts=PARTS,
        needs_weights=needs_weights,
        released=RELEASED,
        plain_form=plain_form,
        taps=taps,
        stages=STAGES,
        counted=counted,
        shows=("masks", "classes"),
        panels=PANELS,
        parity=PARITY,
        exportable=exportable,
        measures=MEASURES,
        mini=MINI,
        cannot={"export --size dynamic": "its traced graph excludes single sizes of images; give --size H,W"},
    )
)

# ---- the stages of the training before; their configuration keys are DeOP's ----

DEOP_PROMPT = register(
    System(
        name="DeOP's prompt",
        meta_architecture="DeOPPrompt",
        citation=CITATION,
        samples="regions",
        argument_keys=ARGUMENT_KEYS,
        parts={
            "backbone.clip.visual.": "CLIP image tower",
            "backbone.clip.": "CLIP text tower",
            "prompt.": "learned prompt",
        },
        cannot=dict.fromkeys(("segment", "inspect", "export", "benchmark"), CANNOT_SEGMENT),
    )
)

STAGE = "it is a stage of DeOP's training; take a model of the last stage"

DEOP_PROPOSALS = register(
    System(
        name="DeOP's proposals",
        meta_architecture="DeOPProposals",
        citation=CITATION,
        argument_keys=ARGUMENT_KEYS,
        parts={
            "backbone.clip.": "CLIP text tower",
            "proposals.backbone.": "proposal backbone",
            "proposals.": "proposal decoders",
            "prompt.": "learned prompt",
            "classifier.": "no-object embedding",
        },
        needs_weights=lambda cfg: {} if cfg.MODEL.PROPOSALS.CLASS_AGNOSTIC else frozen_prompt(cfg),
        shows=("masks", "classes"),
        learning_rates=lambda cfg: {"proposals.backbone.": cfg.SOLVER.BACKBONE_MULTIPLIER},
        measures=STAGE2_MEASURES,
        cannot=dict.fromkeys(("inspect", "export", "plain"), STAGE),
    )
)
