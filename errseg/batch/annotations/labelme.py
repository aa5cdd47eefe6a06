"""LabelMe's JSON: ``labelme/<place>.json``, with polygons, and the path of the picture from there."""

import json
import os
from collections.abc import Iterable

from .polygons import polygons_of
from .segments import Head, Labelled, Target, opened

__all__ = ["write_labelme"]

VERSION = "5.4.1"  # of the layout


def write_labelme(target: Target, head: Head, pictures: Iterable[Labelled]) -> None:
    """Write a file for each picture."""
    for picture in pictures:
        path = target.out / "labelme" / f"{picture.place}.json"
        shapes = []
        for segment in picture.segments:
            for polygon in polygons_of(picture.labels == segment.id):
                points = polygon.round(2).tolist()
                shape = {
                    "label": segment.name,
                    "points": points,
                    "group_id": None,
                    "shape_type": "polygon",
                    "flags": {},
                }
                shapes.append({**shape, "description": ""})
        height, width = head.sizes[picture.place]
        image = os.path.relpath(head.paths[picture.place], os.path.abspath(path.parent)).replace(os.sep, "/")
        sizes = {"imageHeight": height, "imageWidth": width}
        content = {"version": VERSION, "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None, **sizes}
        with opened(path) as file:
            json.dump(content, file, ensure_ascii=False)
