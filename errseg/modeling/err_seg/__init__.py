"""ERR-Seg: one file per module of the paper."""

from typing import Any

from torch import nn

from ..system import Mini, System, register
from .config import ARGUMENT_KEYS, KEY_RANGES, KEY_WORDS, TRAINING_KEYS, add_config, num_kept, num_kept_train
from .export import exportable
from .head import ERRSegHead
from .kept import auto_kept
from .measures import MEASURES
from .model import ERRSeg
from .panels import PANELS
from .parity import PARITY
from .plain import plain_form
from .released import RELEASED
from .stage4 import ConvNeXtCLIP
from .taps import STAGES, taps
from .vit import ViTCLIP

__all__ = ["ERR_SEG", "ConvNeXtCLIP", "ERRSeg", "ERRSegHead", "ViTCLIP"]

CITATION = """\
@article{chen2025errseg,
  title   = {Efficient Redundancy Reduction for Open-Vocabulary Semantic Segmentation},
  author  = {Chen, Lin and Yang, Qi and Ding, Kun and Li, Zhihao and Shen, Gang and Li, Fei and Cao, Qiyuan
             and Xiang, Shiming},
  journal = {arXiv preprint arXiv:2501.17642},
  year    = {2025}
}
"""
PARTS = {
    "backbone.clip.visual.": "CLIP image tower",
    "backbone.clip.": "CLIP text tower",
    "backbone.downsample16.": "second downsample",
    "sem_seg_head.hsm.": "HSM",
    "sem_seg_head.escf.": "ESCF",
    "sem_seg_head.gud.": "GUD",
}


def counted(model: Any) -> dict[str, list[nn.Module]]:
    """ESCF's layers, whose multiply-adds Table X gives (none without ESCF), and all that follows the encoder."""
    return {"escf_layers": list(getattr(model.sem_seg_head.escf, "layers", [])), "decoder": [model.sem_seg_head]}


ERR_SEG = register(
    System(
        name="ERR-Seg",
        meta_architecture="ERRSeg",
        citation=CITATION,
        config="errseg_convnext_base",
        add_config=add_config,
        key_ranges=KEY_RANGES,
        key_words=KEY_WORDS,
        training_keys=TRAINING_KEYS,
        backbones=(ConvNeXtCLIP, ViTCLIP),
        argument_keys=ARGUMENT_KEYS,
        num_kept=num_kept,
        num_kept_train=num_kept_train,
        auto_kept=auto_kept,
        parts=PARTS,
        copied_parts={"second downsample": "copy of stage 4's"},
        released=RELEASED,
        plain_form=plain_form,
        taps=taps,
        stages=STAGES,
        counted=counted,
        shows=("ranking",),
        panels=PANELS,
        parity=PARITY,
        test_keys=("MODEL.CRM.NUM_CLASSES_TEST", "MODEL.CRM.AUTO_"),
        learning_rates=lambda cfg: {"backbone.clip.": cfg.SOLVER.CLIP_MULTIPLIER},
        exportable=exportable,
        measures=MEASURES,
        mini=Mini("errseg", "mini/errseg_mini"),
    )
)
