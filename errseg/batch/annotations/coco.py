"""COCO's layouts: stuff (one run-length code for each name of a picture), and panoptic pictures with their JSON.

A category's id is the index of its name plus 1, because tools read the category 0 as unlabelled.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from errseg.atomic import replacing
from errseg.colors import colors_of

from .segments import Head, Labelled, Target, opened, write_list

__all__ = ["write_panoptic", "write_stuff"]


def write_stuff(target: Target, head: Head, pictures: Iterable[Labelled]) -> None:
    """Write ``coco_stuff.json``; ``score``, beyond the layout, is the mean confidence."""
    _write(target.out / "coco_stuff.json", head, _stuff(head, pictures))


def write_panoptic(target: Target, head: Head, pictures: Iterable[Labelled]) -> None:
    """Write ``coco_panoptic.json`` and, for each picture, ``coco_panoptic/<place>_panoptic.png``.

    A name's pixels are one segment, whose id is that of the category: red + 256 green + 256² blue.
    """
    folder = target.out / "coco_panoptic"
    _write(target.out / "coco_panoptic.json", head, _panoptic(head, pictures, folder))


def _stuff(head: Head, pictures: Iterable[Labelled]) -> Iterator[dict[str, Any]]:
    number, numbers = 0, _numbers(head)
    for picture in pictures:
        for segment in picture.segments:
            number += 1
            code, shared = _code(picture.labels == segment.id)
            counts = {"size": list(code["size"]), "counts": code["counts"].decode("ascii")}
            image = numbers[picture.place]
            yield {"id": number, "image_id": image, "segmentation": counts, **shared, **_category(segment)}


def _panoptic(head: Head, pictures: Iterable[Labelled], folder: Path) -> Iterator[dict[str, Any]]:
    numbers = _numbers(head)
    for picture in pictures:
        ids = picture.labels.astype(np.uint32) + 1
        colors = np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], axis=-1).astype(np.uint8)
        file = f"{picture.place}_panoptic.png"
        with replacing(folder / file) as temporary:
            Image.fromarray(colors).save(temporary, format="PNG")
        infos = []
        for segment in picture.segments:
            _, shared = _code(picture.labels == segment.id)
            infos.append({"id": segment.id + 1, **shared, **_category(segment)})
        yield {"image_id": numbers[picture.place], "file_name": file, "segments_info": infos}


def _numbers(head: Head) -> dict[str, int]:
    """The id of each image, by place."""
    return {place: number for number, place in enumerate(head.files, 1)}


def _code(mask: np.ndarray) -> tuple[Any, dict[str, Any]]:
    """The run-length code of a mask, and its area and box."""
    code = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return code, {"area": int(coco_mask.area(code)), "bbox": coco_mask.toBbox(code).tolist(), "iscrowd": 0}


def _category(segment: Any) -> dict[str, Any]:
    return {"category_id": segment.id + 1, "score": segment.score}


def _write(path: Path, head: Head, annotations: Iterable[dict[str, Any]]) -> None:
    images = [
        {"id": number, "file_name": file, "height": head.sizes[place][0], "width": head.sizes[place][1]}
        for number, (place, file) in enumerate(head.files.items(), 1)
    ]
    kind = {"supercategory": "stuff", "isthing": 0}
    named = enumerate(zip(head.names, colors_of(head.names), strict=True), 1)
    categories = [{"id": index, "name": name, "color": [*color], **kind} for index, (name, color) in named]
    with opened(path) as file:
        file.write('{"info": {"description": "Predictions of errseg"},\n"images": ')
        write_list(file, images)
        file.write(',\n"annotations": ')
        write_list(file, annotations)
        file.write(f',\n"categories": {json.dumps(categories, ensure_ascii=False)}}}\n')
