"""Label Studio: its JSON export (brush strokes and polygons), or its export of one PNG for each class."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from errseg.errors import UsageError
from errseg.safe_files import read_json

from ..names_file import read_names
from ..pairing import IMAGE_ENDINGS, find_files, visible_files
from ..prepare.label_studio import EXPORT, MASK, Mask, in_file, labels_in, masks_by_task, stem_of, tasks_of, values_of
from .plan import MOST_JSON, Options, Picture, Region, Source, expect, place_of, text_of
from .shapes import Brush, MaskFile, Polygons, Shape, is_number, ring_of

__all__ = ["has_masks", "is_label_studio", "read_label_studio"]

UNNAMED = "(no name)"


def is_label_studio(content: Any) -> bool:
    """Whether the content of a JSON file is a list of Label Studio's tasks."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(task, dict) for task in content)
        and bool({"data", "annotations", "predictions"} & content[0].keys())
    )


def has_masks(folder: Path) -> bool:
    """Whether a folder holds masks of the export "Brush labels to PNG"."""
    return any(MASK.fullmatch(Path(path).name) for path in visible_files(folder))


def read_label_studio(path: Path, options: Options, content: Any = None) -> Source:
    """The tasks of a JSON export, with the masks of ``--masks`` where it is given or where they are beside the JSON.

    Raises:
        UsageError: a file is not as documented, or no image is found.
    """
    export = path
    if path.is_dir():
        found = sorted(path.glob("*.json"))
        expect(len(found) == 1, path, f"holds {len(found)} JSON files; put the one JSON export beside the masks")
        export, options = found[0], options if options.masks else options._replace(masks=path)
    images = options.images or next((f for f in (export.parent / "images", export.parent) if f.is_dir()), export.parent)
    pictures = find_files(images, IMAGE_ENDINGS, "--images", str(images))
    pictures = {stem: file for stem, file in pictures.items() if not MASK.fullmatch(Path(file).name)}
    if options.masks:
        return _with_masks(export, options, pictures, images)
    content = read_json(export, EXPORT, MOST_JSON) if content is None else content
    expect(is_label_studio(content), export, "is no list of tasks; export the project as JSON")
    tasks = _numbered(content)
    made, problems, notes, names = [], [], [], set(labels_in(tasks))
    for task, entry in tasks.items():
        results, remark = _results(entry)
        if remark.startswith("task"):
            problems.append(f"The {remark.format(task)} of {export}; keep one, or remove the others.")
            continue
        if remark and remark not in notes:
            notes.append(remark)
        try:
            stem = stem_of(tasks, task, export, pictures)
        except UsageError as error:
            problems.append(str(error))
            continue
        made.append(_picture(stem, pictures[stem], results))
        names |= {region.name for region in made[-1].regions}
    if not made:
        raise UsageError(problems[0] if problems else f"The {EXPORT} {export} has no task; export it again.")
    return Source(sorted(names), made, problems, notes)


def _with_masks(export: Path, options: Options, pictures: Mapping[str, str], images: Path) -> Source:
    """The masks of one class each. Their order is that of the annotation's regions, where the export has them."""
    tasks = tasks_of(export)
    found = read_names(options.names).names if options.names else sorted(set(labels_in(tasks)))
    expect(isinstance(found, list) and bool(found), export, "holds no names of classes; give them with --names FILE")
    assert options.masks is not None
    by_task = masks_by_task(options.masks, found, set(values_of(tasks, "from_name")))
    made, problems = [], []
    for task, masks in by_task.items():
        try:
            stem = stem_of(tasks, task, export, pictures)
        except UsageError as error:
            problems.append(str(error))
            continue
        order = _order(tasks[task], masks[0].annotation)
        masks.sort(key=lambda mask: order.get(_key(mask, found), len(order)))
        regions = tuple(Region(found[mask.index], MaskFile(mask.path)) for mask in masks)
        file = pictures[stem]
        made.append(Picture(place_of(Path(file).relative_to(images).as_posix()), file, None, regions))
    if not made:
        raise UsageError(problems[0])
    return Source(found, made, problems)


def _key(mask: Mask, names: list[str]) -> tuple[str, str]:
    """The class and the number at the end of a mask's name."""
    match = MASK.fullmatch(Path(mask.path).name)
    assert match is not None
    return in_file(names[mask.index]), match["number"]


def _order(task: Mapping[str, Any], annotation: int) -> dict[tuple[str, str], int]:
    """The place of each mask among the regions of an annotation; Label Studio numbers those of a class from 0."""
    places: dict[tuple[str, str], int] = {}
    counts: Counter[str] = Counter()
    for entry in _listed(task.get("annotations")):
        if str(entry.get("id")) != str(annotation) or not isinstance(entry.get("result"), list):
            continue
        for place, result in enumerate(entry["result"]):
            for label in labels_in(result):
                places[in_file(label), str(counts[label])] = place
                counts[label] += 1
    return places


def _numbered(content: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Tasks by their ids; by their places where an id is missing, as in tasks that are yet to be loaded."""
    ids = [task.get("id") for task in content]
    whole = all(type(each) is int for each in ids) and len(set(ids)) == len(ids)
    return dict(zip(ids if whole else range(len(content)), content, strict=True))


def _results(task: Mapping[str, Any]) -> tuple[list[Any], str]:
    """The results of a task's annotation, and a remark. One that begins with "task" says why there are none."""
    done = [each for each in _listed(task.get("annotations")) if not each.get("was_cancelled")]
    if len(done) > 1:
        return [], f"task {{}} has {len(done)} annotations"
    remark = ""
    if not done:
        done = _listed(task.get("predictions"))[:1]
        remark = "Tasks without an annotation have the regions of their prediction." if done else ""
    results = done[0].get("result") if done else []
    return results if isinstance(results, list) else [], remark


def _listed(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; [] for anything else."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _picture(stem: str, image: str, results: list[Any]) -> Picture:
    regions, faults, size = [], [], None
    for result in filter(lambda each: isinstance(each, dict) and isinstance(each.get("value"), dict), results):
        value, kind = result["value"], result.get("type")
        labels = next((value[key] for key in ("brushlabels", "polygonlabels", str(kind)) if key in value), None)
        name = text_of(labels[0]) if isinstance(labels, list) and labels else ""
        sides = (result.get("original_height"), result.get("original_width"))
        if all(type(side) is int and side > 0 for side in sides):
            size = sides
        shape = shape_of(value, size)
        if not name or isinstance(shape, str):
            faults.append((name or UNNAMED, shape if isinstance(shape, str) else "it has no label"))
        else:
            regions.append(Region(name, shape))
    return Picture(place_of(stem + Path(image).suffix), image, size, tuple(regions), faults=tuple(faults))


def shape_of(value: Mapping[str, Any], size: tuple[int, int] | None) -> Shape | str:
    """The shape of a result's ``value``; a text says why there is none."""
    code = value.get("rle")
    if isinstance(code, list):
        return Brush(tuple(code)) if all(type(byte) is int for byte in code) else "its brush mask is damaged"
    if size is None:
        return "it lacks original_width and original_height"
    if "points" in value:
        ring = ring_of(value["points"], (size[1] / 100, size[0] / 100))
        return "its points are damaged" if ring is None else Polygons((ring,))
    if "width" in value and all(is_number(value.get(key)) for key in ("x", "y", "width", "height")):
        return "it is a box, which has no mask"
    return "it has neither a brush mask nor a polygon"
