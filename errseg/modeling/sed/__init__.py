"""SED: a cost map with a channel for each prompt template, decoded in three stages that double its size.

The section numbers in this folder are those of a description of the authors' released model, the model's contract: 2
encoder, 3 names, 4 cost map, 5 decoder, 6 early rejection, 7 prediction, 9 training, 12 work, 13 checkpoint.
``docs/sed.md`` describes the same parts.
"""

from typing import Any

from torch import nn

from ..system import Mini, System, register
from .config import ARGUMENT_KEYS, KEY_RANGES, TRAINING_KEYS, add_config
from .encoder import DenseConvNeXtCLIP
from .export import exportable
from .model import SED
from .panels import PANELS
from .parity import PARITY
from .plain import plain_form
from .released import RELEASED
from .taps import STAGES, taps

__all__ = ["SED_SYSTEM", "SED", "DenseConvNeXtCLIP"]

CITATION = """\
@inproceedings{xie2024sed,
  title     = {{SED}: A Simple Encoder-Decoder for Open-Vocabulary Semantic Segmentation},
  author    = {Xie, Bin and Cao, Jiale and Xie, Jin and Khan, Fahad Shahbaz and Pang, Yanwei},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages     = {3426--3436},
  year      = {2024}
}
"""
PARTS = {
    "backbone.clip.visual.": "CLIP image tower",
    "backbone.clip.": "CLIP text tower",
    "decoder.embed.": "cost embedding",
    **{f"decoder.stages.{i}.": f"stage {i + 1}" for i in range(3)},
    "decoder.aux_heads.": "auxiliary heads",
    "decoder.head.": "head",
}


def counted(model: Any) -> dict[str, list[nn.Module]]:
    """The parts whose multiply-adds the contract gives (section 12)."""
    return {"image_tower": [model.backbone]}


SED_SYSTEM = register(
    System(
        name="SED",
        meta_architecture="SED",
        citation=CITATION,
        config="sed_convnext_base",
        variants={"early rejection": {"MODEL.REJECTION.ENABLED": True}},
        varies=lambda cfg: cfg.MODEL.REJECTION.ENABLED,
        add_config=add_config,
        key_ranges=KEY_RANGES,
        training_keys=TRAINING_KEYS,
        backbones=(DenseConvNeXtCLIP,),
        argument_keys=ARGUMENT_KEYS,
        parts=PARTS,
        released=RELEASED,
        plain_form=plain_form,
        taps=taps,
        stages=STAGES,
        counted=counted,
        panels=PANELS,
        parity=PARITY,
        exportable=exportable,
        test_keys=("MODEL.REJECTION.ENABLED", "MODEL.REJECTION.TOP_K", "MODEL.FUSION.POOLING_TEST"),
        needs_weights=lambda cfg: {"stage 1": "MODEL.WEIGHTS"} if cfg.MODEL.REJECTION.HEADS_ONLY else {},
        learning_rates=lambda cfg: {"backbone.clip.": cfg.SOLVER.CLIP_MULTIPLIER},
        mini=Mini("sed", "mini/sed_mini"),
    )
)
