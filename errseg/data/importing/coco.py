"""COCO's JSON: instances and stuff (polygons, run-length code), and panoptic pictures with their JSON."""

from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from errseg.errors import UsageError, short

from .layers import Panoptic
from .plan import ImageFolders, Options, Picture, Region, Source, expect, place_of, text_of
from .shapes import Polygons, Rle, Shape, is_number

__all__ = ["compact", "is_coco", "is_panoptic", "read_coco", "read_panoptic"]

REGION = {"image_id", "segmentation"}  # keys of an annotation
SEGMENT = {"id", "category_id", "iscrowd"}  # keys of a segment of a panoptic picture


def compact(record: dict[str, Any]) -> dict[str, Any]:
    """An object of a JSON file; an annotation of COCO has its shape in place of numbers, and nothing that is not used.

    A million annotations then take a gigabyte in place of four.
    """
    if REGION <= record.keys():
        small = {key: record[key] for key in ("image_id", "category_id") if key in record}
        return {**small, "segmentation": shape_of(record["segmentation"])}
    if SEGMENT <= record.keys() and "image_id" not in record:
        return {"id": record["id"], "category_id": record["category_id"]}
    return record


def is_coco(content: Any) -> bool:
    """Whether the content of a JSON file is COCO's, with a segmentation or a box for each annotation."""
    return isinstance(content, dict) and {"images", "annotations"} <= content.keys() and not is_panoptic(content)


def is_panoptic(content: Any) -> bool:
    """Whether the content of a JSON file is COCO's for panoptic pictures."""
    annotations = content.get("annotations") if isinstance(content, dict) else None
    return (
        isinstance(annotations, list)
        and bool(annotations)
        and isinstance(annotations[0], dict)
        and "segments_info" in annotations[0]
    )


def read_coco(path: Path, options: Options, content: Any) -> Source:
    """Instances or stuff. Regions are in the order of the annotations.

    Raises:
        UsageError: the content is not as documented, or no image is found.
    """
    names = _names(path, content)
    records = _by_image(path, content)
    pictures, problems = [], []
    folders = _folders(path, options)
    for image, annotations in _found(path, content, records, folders, problems):
        regions, faults = [], []
        for annotation in annotations:
            category = annotation.get("category_id")
            name = names.get(category, "") if type(category) is int else ""
            shape = annotation.get("segmentation")
            shape = shape if isinstance(shape, (Polygons, Rle, str)) else shape_of(shape)
            if not name:
                faults.append(("(no name)", f"there is no category {short(category)}"))
            elif isinstance(shape, str):
                faults.append((name, shape))
            else:
                regions.append(Region(name, shape))
        pictures.append(image._replace(regions=tuple(regions), faults=tuple(faults)))
    return Source(list(names.values()), pictures, problems)


def read_panoptic(path: Path, options: Options, content: Any) -> Source:
    """Panoptic pictures; they are in ``--masks``, or in a folder beside the JSON that has its name.

    Raises:
        UsageError: the content is not as documented, or no image or no panoptic picture is found.
    """
    names = _names(path, content)
    records = _by_image(path, content)
    masks = ImageFolders(options.masks, [path.with_suffix(""), path.parent], "--masks")
    pictures, problems = [], []
    folders = _folders(path, options)
    for image, annotations in _found(path, content, records, folders, problems):
        if not annotations:
            continue
        wanted = text_of(annotations[0].get("file_name"))
        mask = masks.find(wanted) if wanted else None
        if mask is None:
            problems.append(f"The panoptic picture {wanted} of {path} is missing; give its folder with --masks DIR.")
            continue
        segments = []
        infos = annotations[0].get("segments_info")
        for info in infos if isinstance(infos, list) else []:
            expect(
                isinstance(info, dict) and type(info.get("id")) is int, path, f"has a segment of {wanted} without id"
            )
            category = info.get("category_id")
            expect(type(category) is int and category in names, path, f"has no category {short(category)}; add it")
            segments.append((info["id"], names[category]))
        pictures.append(image._replace(layer=Panoptic(mask, tuple(segments))))
    expect(bool(pictures), path, "has no picture whose image and panoptic picture are there; give --images and --masks")
    return Source(list(names.values()), pictures, problems)


def shape_of(segmentation: Any) -> Shape | str:
    """The shape of a ``segmentation``; a text says why there is none."""
    if isinstance(segmentation, dict):
        counts, size = segmentation.get("counts"), segmentation.get("size")
        if isinstance(counts, list) and all(type(count) is int for count in counts):
            counts = array("q", counts) if all(0 <= count < 1 << 62 for count in counts) else tuple(counts)
        if (
            isinstance(counts, (str, tuple, array))
            and isinstance(size, list)
            and all(type(each) is int for each in size)
        ):
            return Rle(counts, tuple(size))
        return "its run-length code is damaged"
    if not isinstance(segmentation, list) or not segmentation:
        return "it has a box alone, no segmentation"
    rings = segmentation if isinstance(segmentation[0], list) else [segmentation]
    if not all(isinstance(ring, list) and len(ring) % 2 == 0 and all(map(is_number, ring)) for ring in rings):
        return "its polygon is damaged"
    return Polygons(tuple(array("d", ring) for ring in rings))


def _names(path: Path, content: Any) -> dict[int, str]:
    """The name of each category, in the order of the ids."""
    categories = content.get("categories")
    expect(isinstance(categories, list) and bool(categories), path, "has no categories; give a file with their names")
    names: dict[int, str] = {}
    for category in categories:
        good = isinstance(category, dict) and type(category.get("id")) is int and text_of(category.get("name"))
        expect(bool(good), path, f"has a category without id or name, {str(category)[:80]}; correct it")
        expect(category["id"] not in names, path, f"has two categories of the id {category['id']}; keep one")
        names[category["id"]] = text_of(category["name"])
    return dict(sorted(names.items()))


def _by_image(path: Path, content: Any) -> Mapping[int, list[dict[str, Any]]]:
    expect(isinstance(content["annotations"], list), path, "has annotations that are no list; correct it")
    by_image: dict[int, list[dict[str, Any]]] = {}
    for annotation in content["annotations"]:
        good = isinstance(annotation, dict) and isinstance(annotation.get("image_id"), (int, str))
        expect(good, path, f"has an annotation without image_id, {str(annotation)[:80]}; correct it")
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    return by_image


def _found(
    path: Path, content: Any, records: Mapping[int, list[dict]], folders: ImageFolders, problems: list[str]
) -> Iterator[tuple[Picture, list[dict[str, Any]]]]:
    """Each image that is there, with its annotations; ``problems`` gets a sentence for every other image."""
    images = content.get("images")
    expect(isinstance(images, list) and bool(images), path, "lists no images; give a file that does")
    known, missing = set(), []
    for image in images:
        good = isinstance(image, dict) and isinstance(image.get("id"), (int, str)) and text_of(image.get("file_name"))
        expect(bool(good), path, f"has an image without id or file_name, {str(image)[:80]}; correct it")
        known.add(image["id"])
        file = folders.find(image["file_name"])
        if file is None:
            missing.append(image["file_name"])
            continue
        sides = (image.get("height"), image.get("width"))
        size = sides if all(type(side) is int for side in sides) else None
        yield Picture(place_of(image["file_name"]), file, size), records.get(image["id"], [])
    if len(missing) == len(images):
        raise folders.missing(path, missing)
    problems += [f"The image {name} of {path} is missing; restore it, or give --images DIR." for name in missing]
    strange = [key for key in records if key not in known]
    if strange:
        raise UsageError(f"{path} has annotations of the image {strange[0]!r}, which it does not list; add the image.")


def _folders(path: Path, options: Options) -> ImageFolders:
    """Where the images of ``annotations/instances_val2017.json`` usually are."""
    split, above = path.stem.rpartition("_")[2], path.parent.parent
    roots = [path.parent, path.parent / "images", above, above / "images"]
    return ImageFolders(options.images, [*roots, *(root / split for root in roots)])
