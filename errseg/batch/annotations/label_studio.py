"""Label Studio's tasks with predictions: brush masks or polygons, and a labelling configuration that fits them."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from errseg.atomic import replacing
from errseg.colors import colors_of
from errseg.data.brush import encode_brush

from .polygons import polygons_of
from .segments import Head, Labelled, Segment, Target, opened, write_list

__all__ = ["PREFIX", "write_brushes", "write_polygons"]

PREFIX = "/data/local-files/?d="  # of files that Label Studio itself serves
FROM, TO = "tag", "image"  # names of the controls

Values = Callable[[Any, Segment], list[dict[str, Any]]]


def write_brushes(target: Target, head: Head, pictures: Iterable[Labelled]) -> None:
    """Write ``label_studio.json``, with a brush mask for each name of a picture."""
    _write(target, head, pictures, "label_studio", "Brush", _brush)


def write_polygons(target: Target, head: Head, pictures: Iterable[Labelled]) -> None:
    """Write ``label_studio_polygons.json``."""
    _write(target, head, pictures, "label_studio_polygons", "Polygon", _polygons)


def _brush(labels: Any, segment: Segment) -> list[dict[str, Any]]:
    return [{"format": "rle", "rle": encode_brush(labels == segment.id)}]


def _polygons(labels: Any, segment: Segment) -> list[dict[str, Any]]:
    height, width = labels.shape
    shares = [polygon * (100 / width, 100 / height) for polygon in polygons_of(labels == segment.id)]
    return [{"points": points.round(5).tolist(), "closed": True} for points in shares]


def _write(target: Target, head: Head, pictures: Iterable[Labelled], stem: str, control: str, values: Values) -> None:
    kind = f"{control.lower()}labels"
    with opened(target.out / f"{stem}.json") as file:
        write_list(file, _tasks(target, head, pictures, kind, values))
        file.write("\n")
    with replacing(target.out / f"{stem}_config.xml") as temporary:
        temporary.write_text(_config(head.names, control), "utf-8", "backslashreplace")


def _tasks(
    target: Target, head: Head, pictures: Iterable[Labelled], kind: str, values: Values
) -> Iterator[dict[str, Any]]:
    for picture in pictures:
        height, width = picture.labels.shape
        results = []
        for segment in picture.segments:
            for value in values(picture.labels, segment):
                name = f"{picture.place}\n{len(results)}"
                result = {"id": hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:10]}
                result |= {"from_name": FROM, "to_name": TO, "type": kind, "score": segment.score}
                result |= {"original_width": width, "original_height": height, "image_rotation": 0}
                results.append({**result, "value": {**value, kind: [segment.name]}})
        shares = [float((picture.labels == segment.id).mean()) for segment in picture.segments]
        score = sum(share * segment.score for share, segment in zip(shares, picture.segments, strict=True))
        image = target.prefix + quote(head.files[picture.place], errors="surrogateescape")
        prediction = {"model_version": "errseg", "score": score, "result": results}
        yield {"data": {TO: image}, "predictions": [prediction]}


def _config(names: tuple[str, ...], control: str) -> str:
    lines = ["<View>", f'  <Image name="{TO}" value="${TO}" zoom="true"/>']
    lines.append(f'  <{control}Labels name="{FROM}" toName="{TO}">')
    for name, color in zip(names, colors_of(names), strict=True):
        lines.append(
            f"    <Label value={quoteattr(name)} background={quoteattr('#{:02x}{:02x}{:02x}'.format(*color))}/>"
        )
    return "\n".join([*lines, f"  </{control}Labels>", "</View>", ""])
