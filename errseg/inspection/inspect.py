"""From a segmenter and a picture to the arrays of an inspection."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from errseg.api.segmenter import Segmenter
from errseg.errors import UsageError
from errseg.modeling import OpenVocabularySegmenter, system_of_model
from errseg.modeling.num_kept import AutoKept, NumKept
from errseg.modeling.panels import LayerAttention, Panel, RegionHeatmaps, RegionMasks, Request, SeveranceMaps
from errseg.modeling.prediction import labels_and_confidences, picture_size
from errseg.modeling.taps import Seen, taps_of, watch
from errseg.modeling.views import View
from errseg.modeling.vocabulary import EncodedNames

from .arrays import (
    Attention,
    ClassAttention,
    Guidance,
    Heatmaps,
    Inspection,
    Proposals,
    Ranking,
    Severance,
    SpatialAttention,
)

__all__ = ["PARTS", "inspect"]

PARTS = ("cost", "crm", "attention", "guidance", "proposals", "heatmaps", "severance")  # the panels that have figures
SHOWN = 4  # number of names shown by default


class Run(NamedTuple):
    """One run of a model on a picture."""

    seen: Seen  # at the taps of the panels
    labels: np.ndarray  # (H, W) ids
    confidence: np.ndarray  # (H, W)
    kept: Tensor  # (K,) ascending ids
    size: tuple[int, int]  # height and width in pixels that the model saw


@torch.no_grad()
def inspect(
    segmenter: Segmenter,
    image: Any,
    what: Sequence[str] | None = None,
    show: Sequence[str] = (),
    point: tuple[int, int] | None = None,
    layer: int | None = None,
) -> Inspection:
    """Look into a model while it segments a picture. The model and its predictions do not change.

    The model sees the whole picture once: scales, mirrors and windows of ``TEST.*`` are ignored.

    Args:
        segmenter: has a vocabulary.
        image: a path, PIL image, or (H, W, 3) uint8 RGB.
        what: some of ``PARTS``, of which each system has its own; None for all that the model has.
        show: names to show; empty: the largest, and for spatial attention the name that wins at the point.
        point: (x, y) in pixels of the picture, the query of attention and similarities; None for the most confident
            pixel of the first name of ``show`` that wins pixels, or else of the name with the largest area.
        layer: the number of a layer with attention (ERR-Seg: of ESCF), from 1; None for the last.

    Raises:
        UsageError: the system cannot be inspected, or the model does not have the part, the vocabulary a name, or the
            picture the point.
    """
    model = segmenter.model
    system = system_of_model(model)
    system.require("inspect")
    if segmenter.vocabulary is None:
        raise UsageError("The model has no vocabulary; call segmenter.set_vocabulary(names) first.")
    encoded = segmenter.encoded
    panels = _wanted(model, system.panels, what)
    number = _layer(model, panels["attention"], layer) if "attention" in panels else 1
    picture = segmenter.read(image)
    chosen = _ids(segmenter, show)
    _check_point(point, picture)
    run = _run(model, encoded, segmenter.inputs(picture), panels)
    shown = chosen or _largest(run.labels)[:SHOWN]
    point = point or _most_confident(run, shown)
    place = ((point[0] + 0.5) / picture.shape[1], (point[1] + 0.5) / picture.shape[0])
    names = chosen or (int(run.labels[point[1], point[0]]),)
    request = Request(encoded.text, len(run.kept), number, names, place, run.size)
    pixels = (picture.shape[1] / run.size[1], picture.shape[0] / run.size[0])  # (width, height) of one that it saw
    # The attention runs the model with other numbers of names too
    shown_by = {name: panel.show(model, run.seen, request) for name, panel in panels.items() if name != "attention"}
    cost, points, guidance = (shown_by.get(name) for name in ("cost", "crm", "guidance"))
    return Inspection(
        picture,
        encoded.names,
        run.labels,
        run.confidence,
        _array(run.kept),
        tuple(shown),
        point,
        None if cost is None else {name: _array(x) for name, x in cost.items()},
        None if points is None else _ranking(points, run.kept, encoded.num_kept),
        _attention(model, panels["attention"], run, request) if "attention" in panels else None,
        None if guidance is None else _guidance(*guidance),
        **{name: make(shown_by[name], pixels) for name, make in OF_REGIONS.items() if name in shown_by},
    )


def _wanted(model: nn.Module, panels: Mapping[str, Panel], what: Sequence[str] | None) -> dict[str, Panel]:
    """The panels to show, all of which the model has."""
    known = {name: panels[name] for name in PARTS if name in panels}
    absent = {name: panel.absent(model) for name, panel in known.items()}
    for name in what or ():
        if name not in known:
            raise UsageError(f"what = {name!r} cannot be shown; give some of {', '.join(known)}.")
        if absent[name]:
            raise UsageError(f"what = {name!r}: {absent[name]}; leave it out.")
    return {name: known[name] for name in what or known if not absent[name]}


def _layer(model: nn.Module, panel: Panel, number: int | None) -> int:
    """The number of the requested layer, from 1; None: the last."""
    count = panel.num_layers(model)
    if number is not None and not 1 <= number <= count:
        raise UsageError(f"layer {number}: the model has the layers 1 to {count}; give one of them.")
    return count if number is None else number


def _run(model: OpenVocabularySegmenter, encoded: EncodedNames, inputs: dict, panels: Mapping[str, Panel]) -> Run:
    """Run the model on one image, seen as a whole, and keep the values at the taps of the panels."""
    view, taps = _whole_view(model, inputs), taps_of(model)
    with watch(model, {tap for panel in panels.values() for tap in panel.taps if tap in taps}) as seen:
        prediction = model.segment(model.see(inputs["image"], view), encoded.text, encoded.num_kept)
    labels, confidence = labels_and_confidences([prediction.of_view(0, view, inputs)], picture_size(inputs))
    return Run(seen, _array(labels), _array(confidence), prediction.kept[0], view.size)


def _whole_view(model: OpenVocabularySegmenter, inputs: dict) -> View:
    """The one view that shows the whole image, neither scaled nor mirrored."""
    return model.views.whole().of(*inputs["image"].shape[-2:])[0]


def _ids(segmenter: Segmenter, show: Sequence[str]) -> tuple[int, ...]:
    """The ids of names in the vocabulary; a class with synonyms gives the ids of all of them."""
    prompts = {name.strip().lower(): (index,) for index, name in enumerate(segmenter.encoded.names)}
    for index, name in enumerate(segmenter.names):
        own = tuple(i for i, owner in enumerate(segmenter.vocabulary.prompt_classes) if owner == index)
        prompts.setdefault(name.strip().lower(), own)
    ids: list[int] = []
    for name in show:
        found = prompts.get(name.strip().lower())
        if found is None:
            close = difflib.get_close_matches(name.strip().lower(), prompts, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {len(segmenter.names)} others."
            raise UsageError(f"show: the vocabulary has no name {name!r}; {hint}")
        ids += [index for index in found if index not in ids]
    return tuple(ids)


def _check_point(point: tuple[int, int] | None, picture: np.ndarray) -> None:
    height, width = picture.shape[:2]
    if point is not None and not (0 <= point[0] < width and 0 <= point[1] < height):
        raise UsageError(
            f"point {point[0]},{point[1]} is outside the picture of {width} x {height} pixels; "
            f"give X,Y from 0,0 to {width - 1},{height - 1}."
        )


def _largest(labels: np.ndarray) -> tuple[int, ...]:
    ids, counts = np.unique(labels, return_counts=True)
    return tuple(ids[np.argsort(-counts, kind="stable")].tolist())


def _most_confident(run: Run, shown: Sequence[int]) -> tuple[int, int]:
    """(x, y) of the most confident pixel of the first shown name that wins pixels, else of the largest name."""
    largest = _largest(run.labels)
    name = next((index for index in shown if index in largest), largest[0])
    inside = np.where(run.labels == name, run.confidence, -1)
    y, x = np.unravel_index(inside.argmax(), inside.shape)
    return int(x), int(y)


def _guidance(image: Tensor | None, text: Tensor | None, decoder: Mapping[str, Tensor]) -> Guidance:
    return Guidance(
        None if image is None else _array(image.permute(2, 0, 1)),
        None if text is None else _array(text),
        {name: _array(x) for name, x in decoder.items()},
    )


def _ranking(points: Tensor, kept: Tensor, num_kept: NumKept) -> Ranking:
    automatic = isinstance(num_kept, AutoKept)
    return Ranking(_array(points), _array(kept), *((len(kept), num_kept.threshold) if automatic else (num_kept,)))


def _attention(model: nn.Module, panel: Panel, run: Run, request: Request) -> Attention:
    """The attention with the names kept, and with every name where CRM drops some."""
    num_names, (height, width) = len(request.text), run.labels.shape
    runs = [panel.show(model, run.seen, request)]
    if request.num_kept < num_names:
        runs.append(panel.show(model, run.seen, request._replace(num_kept=num_names)))
    spatial = [_spatial(each, request.place, (height, width)) for each in runs]
    classes = [_classes(each) for each in runs]
    return Attention(request.layer, panel.num_layers(model), *[*spatial, None][:2], *[*classes, None][:2])


def _spatial(layer: LayerAttention, place: tuple[float, float], size: tuple[int, int]) -> SpatialAttention | None:
    if layer.spatial is None:
        return None
    (height, width), (rows, columns), reduction = size, layer.spatial.grid, layer.spatial.reduction
    column, row = min(int(place[0] * columns), columns - 1), min(int(place[1] * rows), rows - 1)
    return SpatialAttention(
        tuple(layer.spatial.names.tolist()),
        _array(layer.spatial.weights),
        ((column + 0.5) * width / columns, (row + 0.5) * height / rows),
        (reduction * width / columns, reduction * height / rows),
    )


def _classes(layer: LayerAttention) -> ClassAttention | None:
    if layer.classes is None:
        return None
    return ClassAttention(_array(layer.kept), *map(_array, layer.classes))


def _proposals(regions: RegionMasks, pixels: tuple[float, float]) -> Proposals:
    """``pixels`` is (width, height) of a pixel that the model saw, in pixels of the picture."""
    return Proposals(_array(regions.masks), _array(regions.classes), _cell(regions.stride, pixels))


def _heatmaps(maps: RegionHeatmaps, pixels: tuple[float, float]) -> Heatmaps:
    return Heatmaps(_array(maps.before), _array(maps.after), _proposals(maps.regions, pixels))


def _severance(maps: SeveranceMaps, pixels: tuple[float, float]) -> Severance:
    names, place = ({mode: _array(x) for mode, x in each.items()} for each in (maps.names, maps.place))
    return Severance(names, place, _cell(maps.stride, pixels))


def _cell(stride: int, pixels: tuple[float, float]) -> tuple[float, float]:
    return stride * pixels[0], stride * pixels[1]


OF_REGIONS: dict[str, Callable[[Any, tuple[float, float]], Any]] = {
    "proposals": _proposals,
    "heatmaps": _heatmaps,
    "severance": _severance,
}


def _array(x: Tensor) -> np.ndarray:
    """A tensor as a numpy array; floating-point numbers become float32."""
    return (x.float() if x.is_floating_point() else x).cpu().numpy()
