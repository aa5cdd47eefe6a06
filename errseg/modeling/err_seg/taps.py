"""The taps of ERR-Seg.

Shapes: B images, T names, K names kept, C channels, H x W locations at stride 16.
"""

from typing import Any

from torch import Tensor, nn

from ..cost_map import CostBlocks
from ..taps import Tap
from .crm import CRM
from .escf import CFM, ESCF, SFM
from .gud import GUD, Guidance

STAGES = {"encoder": "encoder", "CRM": "kept", "HSM": "hsm", "ESCF": "escf", "GUD": "gud"}  # name in figures: tap


def taps(model: Any) -> dict[str, Tap]:
    """The taps of an ``ERRSeg``, by name; an ablation lacks the taps of the modules that it removes."""
    head = model.sem_seg_head
    return {
        "encoder": Tap(model.backbone),  # the feature maps and dense embeddings, by name
        "cost": Tap(head.crm, _cost),  # (B, T, H, W) cosines
        "ranking": Tap(head.crm, _ranking),  # (B, T) points per location
        "kept": Tap(head.crm),  # (B, K) ids; -1: none
        "hsm": Tap(head.hsm),  # (B, K, H, W, C)
        "escf": Tap(head.escf),  # (B, K, H, W, C)
        "gud": Tap(head.gud),  # logits (B, K, h, w)
        "head": Tap(head),  # logits and ids
        **_taps_of_escf(head.escf),
        **_taps_of_gud(head.gud),
    }


def fusion_modules(escf: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    """The SFM or CFM modules of ESCF, in the order of the layers; empty where the layers have none."""
    return [module for module in escf.modules() if isinstance(module, kind)]


def _taps_of_escf(escf: Any) -> dict[str, Tap]:
    """``image_guidance`` (B, H, W, C), ``text_guidance`` (B, K, C), and the taps of each layer, from 1.

    ``sfm1`` and ``cfm1`` are the inputs of the modules of layer 1: cost embedding, image guidance, text guidance. For
    ``cfm1``, the cost embedding is already pooled by CSR. ``layer1`` is the layer's output, (B, K, H, W, C).
    """
    if not isinstance(escf, ESCF):
        return {}
    found: dict[str, Tap] = {}
    for kind, module, guidance in (("sfm", SFM, "image_guidance"), ("cfm", CFM, "text_guidance")):
        for number, each in enumerate(fusion_modules(escf, module), 1):
            found[guidance] = Tap(getattr(escf, guidance))
            found[f"{kind}{number}"] = Tap(each, _arguments)
    last_modules = list(escf.layers)[escf.modules_of_layer - 1 :: escf.modules_of_layer]
    return found | {f"layer{number}": Tap(module) for number, module in enumerate(last_modules, 1)}


def _taps_of_gud(gud: Any) -> dict[str, Tap]:
    """The taps of each stage, from 1: its output ``upsample1``, and its guidance ``decoder_guidance1`` (B, C, h, w)."""
    stages = list(enumerate(gud.stages, 1)) if isinstance(gud, GUD) else []
    guided = [(number, stage.guidance.proj) for number, stage in stages if isinstance(stage.guidance, Guidance)]
    return {
        **{f"upsample{number}": Tap(stage) for number, stage in stages},
        **{f"decoder_guidance{number}": Tap(projection) for number, projection in guided},
    }


def _cost(crm: nn.Module, arguments: tuple, output: Any) -> Tensor:
    """The cost map that CRM ranks."""
    costs = arguments[0]
    return costs.whole() if isinstance(costs, CostBlocks) else costs


def _ranking(crm: nn.Module, arguments: tuple, output: Any) -> Tensor:
    """CRM's points per location, (B, T); for a model without CRM, the points that CRM would give."""
    costs = arguments[0]
    ranker = crm if isinstance(crm, CRM) else CRM()
    return ranker.points(costs)


def _arguments(module: nn.Module, arguments: tuple, output: Any) -> tuple:
    return arguments
