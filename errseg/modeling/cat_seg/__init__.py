"""CAT-Seg: cosines of locations and names, aggregated over locations and over classes.

The section numbers in this folder are those of a description of the authors' released model, the model's contract: 2
image tower, 3 text, 4 cost, 5 aggregation, 6 decoder, 7 prediction, 8 loss and recipe, 11 ablations, 12 work, 13
checkpoint. ``docs/cat_seg.md`` describes the same parts.
"""

from typing import Any

from torch import nn

from ..system import Mini, System, register
from .config import ARGUMENT_KEYS, KEY_RANGES, TRAINING_KEYS, add_config
from .export import exportable
from .head import CATSegHead
from .image_tower import SplitViTCLIP
from .model import CATSeg
from .panels import PANELS
from .parity import PARITY
from .plain import plain_form
from .released import RELEASED
from .taps import STAGES, taps

__all__ = ["CAT_SEG", "CATSeg", "CATSegHead", "SplitViTCLIP"]

CITATION = """\
@inproceedings{cho2024catseg,
  title     = {{CAT-Seg}: Cost Aggregation for Open-Vocabulary Semantic Segmentation},
  author    = {Cho, Seokju and Shin, Heeseong and Hong, Sunghwan and Arnab, Anurag and Seo, Paul Hongsuck
               and Kim, Seungryong},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages     = {4113--4123},
  year      = {2024}
}
"""
PARTS = {
    "backbone.clip.visual.": "CLIP image tower",
    "backbone.clip.": "CLIP text tower",
    "backbone.upsample.": "decoder",
    "sem_seg_head.decoder.": "decoder",
    "sem_seg_head.layers.": "aggregation",
    "sem_seg_head.": "cost and guidance",
}


def counted(model: Any) -> dict[str, list[nn.Module]]:
    """The parts whose multiply-adds the contract gives (section 12), for one view."""
    head = model.sem_seg_head
    return {
        "image_tower": [model.backbone],
        "upsample": list(model.backbone.upsample),
        "cost_embedding": [head.embedding],
        "spatial": [layer.spatial for layer in head.layers],
        "classes": [layer.classes for layer in head.layers],
        "decoder": [head.decoder],
    }


CAT_SEG = register(
    System(
        name="CAT-Seg",
        meta_architecture="CATSeg",
        citation=CITATION,
        config="cat_seg_vit_b16",
        add_config=add_config,
        key_ranges=KEY_RANGES,
        training_keys=TRAINING_KEYS,
        backbones=(SplitViTCLIP,),
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
        learning_rates=lambda cfg: {"backbone.clip.": cfg.SOLVER.CLIP_MULTIPLIER},
        mini=Mini("cat_seg", "mini/cat_seg_mini", "vit"),
        cannot={"export --size dynamic": "its traced graph excludes the size of its image tower; give --size H,W"},
    )
)
