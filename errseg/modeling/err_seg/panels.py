"""The panels of ERR-Seg for an inspection: cost maps, CRM's ranking, ESCF's attention, the guidance of ESCF and GUD.

Shapes: T names, K names kept, C channels, H x W locations at stride 16.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ..cost_map import cost_map
from ..panels import ClassWeights, GuidanceMaps, LayerAttention, Panel, Request, SpatialWeights
from ..taps import Seen, taps_of, watch
from .attention import class_weights, spatial_weights
from .crm import CRM
from .escf import ESCF
from .gud import GUD

GUIDANCE_TAPS = ("image_guidance", "text_guidance")
DECODER_TAPS = ("decoder_guidance1", "decoder_guidance2", "decoder_guidance3")


def cost(model: nn.Module, seen: Seen, request: Request) -> dict[str, Tensor]:
    """The cosines (T, h, w) of each dense embedding."""
    features, head = seen["encoder"][0], _head(model)
    return {name: cost_map(features[name], request.text)[0] for name in head.embeddings}


def ranking(model: nn.Module, seen: Seen, request: Request) -> Tensor:
    """CRM's points per location, (T,)."""
    return seen["ranking"][0][0]


def guidance(model: nn.Module, seen: Seen, request: Request) -> GuidanceMaps:
    """ESCF's guidance from the image and from the names, and GUD's, by the name of the feature map."""
    image, text = (seen[tap][0][0] if tap in seen else None for tap in GUIDANCE_TAPS)
    maps = zip(_head(model).decoder_maps, DECODER_TAPS, strict=True)
    return GuidanceMaps(image, text, {name: seen[tap][0][0] for name, tap in maps if tap in seen})


def attention(model: nn.Module, seen: Seen, request: Request) -> LayerAttention:
    """The attention of one layer of ESCF. Runs CRM, HSM and ESCF up to this layer, on the features of the first run."""
    taps, (sfm, cfm) = taps_of(model), (f"sfm{request.layer}", f"cfm{request.layer}")
    with watch(model, [name for name in (sfm, cfm) if name in taps]) as inputs:
        features, fuse = seen["encoder"][0], _head(model).fuse
        kept = fuse(features, request.text, request.num_kept, num_layers=request.layer)[1][0]
    spatial = classes = None
    if sfm in inputs:
        x, image_guidance, *_ = inputs[sfm][0]
        slots = (kept[None] == torch.tensor(request.names, device=kept.device)[:, None]).nonzero()[:, 1]
        grid = (x.shape[2], x.shape[3])
        module: Any = taps[sfm].module
        weights, reduction = spatial_weights(module, x[0, slots], image_guidance, _cell(request.place, grid))
        spatial = SpatialWeights(kept[slots], weights, grid, reduction)
    if cfm in inputs:
        x, _, text_guidance, *_ = inputs[cfm][0]
        query = _cell(request.place, (x.shape[2], x.shape[3]))
        module = taps[cfm].module
        classes = ClassWeights(*class_weights(module, x, text_guidance, query))
    return LayerAttention(kept, spatial, classes)


def _cell(place: tuple[float, float], grid: tuple[int, int]) -> int:
    """The index of the location in a grid (height, width) that holds a place."""
    height, width = grid
    return min(int(place[1] * height), height - 1) * width + min(int(place[0] * width), width - 1)


def _head(model: Any) -> Any:
    return model.sem_seg_head


def _num_layers(model: nn.Module) -> int:
    escf = _head(model).escf
    return len(escf.layers) // escf.modules_of_layer if isinstance(escf, ESCF) else 0


def _without_crm(model: nn.Module) -> str | None:
    return None if isinstance(_head(model).crm, CRM) else "the model keeps every class (MODEL.CRM.ENABLED is False)"


def _without_escf(model: nn.Module) -> str | None:
    return None if _num_layers(model) else "the model has no ESCF (MODEL.ESCF.ENABLED is False)"


def _without_guidance(model: nn.Module) -> str | None:
    if _num_layers(model) or isinstance(_head(model).gud, GUD):
        return None
    return "the model has neither ESCF nor GUD (MODEL.ESCF.ENABLED and MODEL.GUD.ENABLED are False)"


PANELS = {
    "cost": Panel(cost, ("encoder",)),
    "crm": Panel(ranking, ("ranking",), _without_crm),
    "attention": Panel(attention, ("encoder",), _without_escf, _num_layers),
    "guidance": Panel(guidance, (*GUIDANCE_TAPS, *DECODER_TAPS), _without_guidance),
}
