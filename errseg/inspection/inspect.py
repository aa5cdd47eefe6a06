"""From a segmenter and a picture to the arrays of an inspection."""

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from errseg.api.segmenter import Segmenter
from errseg.errors import UsageError
from errseg.modeling.vocabulary import EncodedNames

from .arrays import Attention, ClassAttention, Guidance, Inspection, Ranking, SpatialAttention
from .probe import Overview, as_array, attention_layers, look_at_attention, overview, require_layer

__all__ = ["PARTS", "inspect"]

PARTS = ("cost", "crm", "attention", "guidance")
SHOWN = 4  # names, where nobody asks for some


def inspect(
    segmenter: Segmenter,
    image: Any,
    what: Sequence[str] | None = None,
    show: Sequence[str] = (),
    point: tuple[int, int] | None = None,
    layer: int | None = None,
) -> Inspection:
    """Look into a model while it segments a picture. The model stays as it is, and so do its predictions.

    The model sees the whole picture once, whatever ``TEST.*`` says of scales, mirrors and windows.

    Args:
        segmenter: with a vocabulary.
        image: a path, PIL image, or (H, W, 3) uint8 RGB.
        what: of "cost", "crm", "attention" and "guidance"; None for all that the model has.
        show: names to show; none: the largest, and for spatial attention the name that wins at the point.
        point: (x, y) in pixels of the picture, from where attention looks; None for the most confident pixel of the
            largest name, of the first in ``show`` where that wins pixels.
        layer: of ESCF, from 1; None for the last.

    Raises:
        UsageError: the model has no such part, the vocabulary no such name, or the picture no such point.
    """
    model = segmenter.model
    if segmenter.vocabulary is None:
        raise UsageError("The model has no vocabulary; call segmenter.set_vocabulary(names) first.")
    encoded = segmenter.encoded
    wanted = _wanted(model, what)
    number = require_layer(attention_layers(model), layer) if "attention" in wanted else 1
    picture = segmenter.read(image)
    chosen = _ids(segmenter, show)
    _check_point(point, picture)
    run = overview(model, encoded, segmenter.inputs(picture))
    shown = chosen or _largest(run.labels)[:SHOWN]
    point = point or _most_confident(run, shown)
    attention = None
    if "attention" in wanted:
        spatial = chosen or (int(run.labels[point[1], point[0]]),)
        attention = _attention(model, encoded, run, number, spatial, point, picture.shape[:2])
    return Inspection(
        picture,
        encoded.names,
        run.labels,
        run.confidence,
        as_array(run.kept),
        tuple(shown),
        point,
        {name: as_array(cost) for name, cost in run.cost.items()} if "cost" in wanted else None,
        _ranking(run, encoded.num_kept) if "crm" in wanted else None,
        attention,
        _guidance(run) if "guidance" in wanted else None,
    )


def _wanted(model, what: Sequence[str] | None) -> list[str]:
    """The parts to show, all of which the model has."""
    head = model.sem_seg_head
    absent = {}
    if not hasattr(head.crm, "scores"):
        absent["crm"] = "the model keeps every class (MODEL.CRM.ENABLED is False)"
    if not attention_layers(model):
        absent["attention"] = "the model has no ESCF (MODEL.ESCF.ENABLED is False)"
        if not hasattr(head.gud, "stages"):
            absent["guidance"] = (
                "the model has neither ESCF nor GUD (MODEL.ESCF.ENABLED and MODEL.GUD.ENABLED are False)"
            )
    for part in what or ():
        if part not in PARTS:
            raise UsageError(f"what = {part!r} is nothing that can be shown; give some of {', '.join(PARTS)}.")
        if part in absent:
            raise UsageError(f"what = {part!r}: {absent[part]}; leave it out.")
    return [part for part in what or PARTS if part not in absent]


def _ids(segmenter: Segmenter, show: Sequence[str]) -> tuple[int, ...]:
    """Ids of names among those that the model is asked for; a class with synonyms stands for all of them."""
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


def _most_confident(run: Overview, shown: Sequence[int]) -> tuple[int, int]:
    """(x, y) of the most confident pixel of the first name shown that wins pixels, else of the largest."""
    largest = _largest(run.labels)
    name = next((index for index in shown if index in largest), largest[0])
    inside = np.where(run.labels == name, run.confidence, -1)
    y, x = np.unravel_index(inside.argmax(), inside.shape)
    return int(x), int(y)


def _ranking(run: Overview, num_classes: int) -> Ranking:
    return Ranking(as_array(run.scores), as_array(run.kept), num_classes)


def _guidance(run: Overview) -> Guidance:
    return Guidance(
        None if run.image_guidance is None else as_array(run.image_guidance.permute(2, 0, 1)),
        None if run.text_guidance is None else as_array(run.text_guidance),
        {name: as_array(x) for name, x in run.decoder_guidance.items()},
    )


def _attention(
    model,
    encoded: EncodedNames,
    run: Overview,
    number: int,
    shown: Sequence[int],
    point: tuple[int, int],
    size: tuple[int, int],
) -> Attention:
    """With CRM's choice, and with every name, unless that is the same."""
    layers, num_names = attention_layers(model), len(encoded.names)
    place = ((point[0] + 0.5) / size[1], (point[1] + 0.5) / size[0])
    spatial, classes = [], []
    for num_classes in (len(run.kept), num_names)[: 1 + (len(run.kept) < num_names)]:
        names = torch.tensor(shown)
        seen = look_at_attention(model, encoded.text, run.features, layers[number - 1], num_classes, names, place)
        spatial.append(_spatial(seen, place, size) if "spatial" in seen else None)
        if "mean" in seen:
            classes.append(ClassAttention(*(as_array(seen[key]) for key in ("kept", "mean", "at_point"))))
    spatial, classes = ([*found, None, None][:2] for found in (spatial, classes))
    return Attention(number, len(layers), *spatial, *classes)


def _spatial(seen: dict[str, Any], place: tuple[float, float], size: tuple[int, int]) -> SpatialAttention:
    (height, width), (rows, columns) = size, seen["grid"]
    column, row = min(int(place[0] * columns), columns - 1), min(int(place[1] * rows), rows - 1)
    return SpatialAttention(
        tuple(seen["shown"].tolist()),
        as_array(seen["spatial"]),
        ((column + 0.5) * width / columns, (row + 0.5) * height / rows),
        (seen["reduction"] * width / columns, seen["reduction"] * height / rows),
    )
