"""DeOP: masks of a frozen proposal network, one pass through CLIP with patch severance, and classification anchors."""

from ..system import System, register
from .config import ARGUMENT_KEYS, KEY_RANGES, TRAINING_KEYS, add_config
from .image_tower import SeveredViTCLIP
from .model import DeOP
from .parity import PARITY
from .plain import plain_form
from .released import RELEASED
from .resnet import ResNet18c, ResNet50, ResNet101c
from .taps import STAGES, taps

__all__ = ["DEOP", "DeOP", "ResNet18c", "ResNet50", "ResNet101c", "SeveredViTCLIP"]

PARTS = {
    "backbone.clip.visual.": "CLIP image tower",
    "backbone.clip.": "CLIP text tower",
    "backbone.learned.": "learned positions",
    "proposals.": "proposal network",
    "anchors.": "anchors",
    "prompt.": "learned prompt",
    "classifier.": "no-object embedding",
}

DEOP = register(
    System(
        name="DeOP",
        meta_architecture="DeOP",
        add_config=add_config,
        key_ranges=KEY_RANGES,
        training_keys=TRAINING_KEYS,
        argument_keys=ARGUMENT_KEYS,
        parts=PARTS,
        released=RELEASED,
        plain_form=plain_form,
        taps=taps,
        stages=STAGES,
        shows=("masks", "classes"),
        parity=PARITY,
    )
)
