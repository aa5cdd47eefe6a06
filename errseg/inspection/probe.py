"""Looking into a model while it runs, from outside: hooks that record, and are gone afterwards.

Shapes: B = 1 image, K classes, C channels, H x W locations at stride 16.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from errseg.errors import UsageError
from errseg.modeling import ERRSeg
from errseg.modeling.err_seg.escf import CFM, SFM
from errseg.modeling.err_seg.head import cost_map
from errseg.modeling.prediction import Prediction, labels_and_confidences, picture_size
from errseg.modeling.views import View, Views
from errseg.modeling.vocabulary import EncodedNames

from .attention import class_weights, spatial_weights

__all__ = ["Layer", "Overview", "as_array", "attention_layers", "look_at_attention", "overview", "require_layer"]

Watched = tuple[nn.Module, Callable[[tuple, Any], None]]


class Overview(NamedTuple):
    """One run of the model."""

    features: dict[str, Tensor]  # the encoder's
    labels: np.ndarray  # (H, W) ids
    confidence: np.ndarray  # (H, W)
    kept: Tensor  # (K,) ascending ids
    cost: dict[str, Tensor]  # (T, h, w) cosines at each scale
    scores: Tensor | None  # (T,) CRM's points per location; None: the model has no CRM
    image_guidance: Tensor | None  # (H, W, C)
    text_guidance: Tensor | None  # (K, C)
    decoder_guidance: dict[str, Tensor]  # (C, h, w)


class Layer(NamedTuple):
    """One ESCF layer of the paper."""

    sfm: SFM | None
    cfm: CFM | None


def as_array(x: Tensor) -> np.ndarray:
    """A tensor as numpy; floating-point ones in float32."""
    return (x.float() if x.is_floating_point() else x).cpu().numpy()


@torch.no_grad()
def overview(model: ERRSeg, encoded: EncodedNames, inputs: dict) -> Overview:
    """Run the model on one image, seen as a whole, and keep what passes by.

    Args:
        model: in evaluation mode.
        encoded: the vocabulary.
        inputs: as the model's.
    """
    head = model.sem_seg_head
    view = whole_view(model, inputs)
    seen: dict[str, Any] = {"decoder": {}}
    watched: list[Watched] = [(head.crm, lambda arguments, _: seen.update(ranked=arguments[0]))]
    if hasattr(head.escf, "layers"):
        watched.append((head.escf.image_guidance, lambda _, output: seen.update(image=output)))
        watched.append((head.escf.text_guidance, lambda _, output: seen.update(text=output)))
    for name, stage in zip(head.decoder_maps, getattr(head.gud, "stages", ()), strict=False):
        if hasattr(stage.guidance, "proj"):
            watched.append((stage.guidance.proj, lambda _, output, name=name: seen["decoder"].update({name: output})))
    features = model.backbone(model.see(inputs["image"], view))
    with _watching(watched):
        logits, kept = head(features, encoded.text, encoded.num_kept)
    labels, confidence = labels_and_confidences(
        [Prediction(logits.float().sigmoid(), kept).of_view(0, view, inputs)], picture_size(inputs)
    )
    scores = None
    if hasattr(head.crm, "scores"):
        scores = head.crm.scores(seen["ranked"])[0] / seen["ranked"][0, 0].numel()
    return Overview(
        features,
        as_array(labels),
        as_array(confidence),
        kept[0],
        {name: cost_map(features[name], encoded.text)[0] for name in head.embeddings},
        scores,
        *(None if seen.get(name) is None else seen[name][0] for name in ("image", "text")),
        {name: output[0] for name, output in seen["decoder"].items()},
    )


def whole_view(model: ERRSeg, inputs: dict) -> View:
    """The one view that shows the whole image at the configuration's resolution."""
    views = Views(model.views.resolution, keep_aspect=model.views.keep_aspect)
    return views.of(*inputs["image"].shape[-2:])[0]


def attention_layers(model: ERRSeg) -> list[Layer]:
    """The ESCF layers of a model; none without ESCF."""
    modules = list(model.sem_seg_head.escf.modules())
    sfms = [module for module in modules if isinstance(module, SFM)]
    cfms = [module for module in modules if isinstance(module, CFM)]
    count = max(len(sfms), len(cfms))
    return [Layer(*pair) for pair in zip(sfms or [None] * count, cfms or [None] * count, strict=True)]


class _Enough(Exception):
    """Ends a run of the head where nothing more is to be seen."""


@torch.no_grad()
def look_at_attention(
    model: ERRSeg,
    text: Tensor,
    features: dict[str, Tensor],
    layer: Layer,
    num_classes: int,
    shown: Tensor,
    place: tuple[float, float],
) -> dict[str, Any]:
    """Run the head up to a layer, and compute the attention in it.

    Args:
        model: in evaluation mode.
        text: (T, D) text embeddings.
        features: the encoder's, of one image.
        layer: of ``attention_layers``.
        num_classes: K; T for all names.
        shown: ids of the names whose spatial attention is asked for.
        place: the point, (x, y) as shares of the picture, 0 to below 1.

    Returns:
        "kept" (K,) ids; with SFM "shown" (S',) ids of those shown that are kept, "spatial" (S', heads, h, w), "grid"
        (height, width) of the locations, "reduction" of keys; with CFM "mean" and "at_point" (heads, K, K).
    """
    head, seen = model.sem_seg_head, {}

    def see_kept(_: tuple, kept: Tensor) -> None:
        seen["kept"] = kept[0]

    def see_spatial(arguments: tuple, _: Tensor) -> None:
        x, guidance, _ = arguments
        slots = (seen["kept"][None] == shown.to(seen["kept"].device)[:, None]).nonzero()[:, 1]
        seen["shown"], seen["grid"] = seen["kept"][slots], tuple(x.shape[2:4])
        query = _cell(place, x.shape[2:4])
        seen["spatial"], seen["reduction"] = spatial_weights(layer.sfm, x[0, slots], guidance, query)
        if layer.cfm is None:
            raise _Enough

    def see_classes(arguments: tuple, _: Tensor) -> None:
        x, _, guidance = arguments
        seen["mean"], seen["at_point"] = class_weights(layer.cfm, x, guidance, _cell(place, x.shape[2:4]))
        raise _Enough

    watched: list[Watched] = [(head.crm, see_kept)]
    watched += [(module, see) for module, see in ((layer.sfm, see_spatial), (layer.cfm, see_classes)) if module]
    with _watching(watched):
        try:
            head(features, text, num_classes)
        except _Enough:
            pass
    return seen


def _cell(place: tuple[float, float], grid: tuple[int, int]) -> int:
    """The index of the location of a grid (height, width) in which a place lies."""
    height, width = grid
    return min(int(place[1] * height), height - 1) * width + min(int(place[0] * width), width - 1)


@contextmanager
def _watching(watched: list[Watched]) -> Iterator[None]:
    """Show the arguments and output of this thread's calls to whom they concern."""
    watcher = threading.get_ident()

    def hook(see: Callable[[tuple, Any], None]) -> Callable[[nn.Module, tuple, Any], None]:
        return lambda _, arguments, output: see(arguments, output) if threading.get_ident() == watcher else None

    handles = [module.register_forward_hook(hook(see)) for module, see in watched]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def require_layer(layers: list[Layer], number: int | None) -> int:
    """The number of the layer that was asked for, from 1; None: the last.

    Raises:
        UsageError: there is no such layer.
    """
    if number is None:
        return len(layers)
    if not 1 <= number <= len(layers):
        raise UsageError(f"layer {number}: the model's ESCF has the layers 1 to {len(layers)}; give one of them.")
    return number
