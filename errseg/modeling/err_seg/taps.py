"""Where one can look inside ERR-Seg.

Shapes: B images, T names, K names kept, C channels, H x W locations at stride 16.
"""

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from ..taps import Tap
from .crm import CRM
from .escf import CFM, SFM

MOST_LAYERS = 64  # of ESCF, see KEY_RANGES


def _head(path: str) -> Callable[[nn.Module], nn.Module | None]:
    """A module of the head by its attributes' names; None where it is missing."""

    def find(model: nn.Module) -> nn.Module | None:
        module: Any = model.sem_seg_head
        for name in path.split("."):
            module = module[int(name)] if name.isdigit() and int(name) < len(module) else getattr(module, name, None)
            if module is None:
                return None
        return module if isinstance(module, nn.Module) else None

    return find


def _ranking(crm: nn.Module, arguments: tuple, _: Any) -> Tensor:
    """CRM's points per location, (B, T); a model that keeps every name is ranked as CRM would."""
    costs = arguments[0]
    ranker = crm if isinstance(crm, CRM) else CRM()
    return ranker.scores(costs) / costs[0, 0].numel()


def _first_argument(module: nn.Module, arguments: tuple, output: Any) -> Any:
    return arguments[0]


def _arguments(module: nn.Module, arguments: tuple, output: Any) -> tuple:
    return arguments


def fusion_modules(model: nn.Module, kind: type) -> list[nn.Module]:
    """The SFMs or CFMs of a model, a layer of the paper after the other."""
    return [module for module in model.sem_seg_head.escf.modules() if isinstance(module, kind)]


def _nth(kind: type, index: int) -> Callable[[nn.Module], nn.Module | None]:
    def find(model: nn.Module) -> nn.Module | None:
        modules = fusion_modules(model, kind)
        return modules[index] if index < len(modules) else None

    return find


def _fusion_taps() -> Iterator[tuple[str, Tap]]:
    for index in range(MOST_LAYERS):
        yield f"sfm{index + 1}", Tap(_nth(SFM, index), _arguments)  # (cost embedding, image guidance, text guidance)
        yield f"cfm{index + 1}", Tap(_nth(CFM, index), _arguments)


TAPS = {
    "encoder": Tap(lambda model: model.backbone),  # the feature maps and dense embeddings, by name
    "cost": Tap(lambda model: model.sem_seg_head.crm, _first_argument),  # (B, T, H, W) cosines
    "ranking": Tap(lambda model: model.sem_seg_head.crm, _ranking),  # (B, T)
    "kept": Tap(lambda model: model.sem_seg_head.crm),  # (B, K) ids
    "hsm": Tap(lambda model: model.sem_seg_head.hsm),  # (B, K, H, W, C)
    "image_guidance": Tap(_head("escf.image_guidance")),  # (B, H, W, C)
    "text_guidance": Tap(_head("escf.text_guidance")),  # (B, K, C)
    "escf": Tap(lambda model: model.sem_seg_head.escf),  # (B, K, H, W, C)
    "gud": Tap(lambda model: model.sem_seg_head.gud),  # logits (B, K, h, w)
    "head": Tap(lambda model: model.sem_seg_head),  # logits and ids
    **{f"upsample{i + 1}": Tap(_head(f"gud.stages.{i}")) for i in range(3)},
    **{f"decoder_guidance{i + 1}": Tap(_head(f"gud.stages.{i}.guidance.proj")) for i in range(3)},  # (B, C, h, w)
    **dict(_fusion_taps()),
}
STAGES = {"encoder": "encoder", "CRM": "kept", "HSM": "hsm", "ESCF": "escf", "GUD": "gud"}  # name in figures: tap
