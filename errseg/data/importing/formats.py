"""The formats that can be imported, and how each is recognised."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from errseg.errors import UsageError
from errseg.safe_files import read_json, read_yaml

from .coco import compact, is_coco, is_panoptic, read_coco, read_panoptic
from .colored import MASK_FOLDERS, find_table, read_colored
from .cvat import is_cvat_xml, read_cvat_masks, read_cvat_xml
from .label_studio import has_masks, is_label_studio, read_label_studio
from .labelme import is_labelme, read_labelme
from .plan import MOST_JSON, Options, Source
from .ultralytics import is_ultralytics, read_ultralytics

__all__ = ["FORMATS", "read_source"]

FEW = 4  # files that are looked at
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")


class Format(NamedTuple):
    """A row of the table."""

    read: Callable[[Path, Options, Any], Source]
    what: str  # for the help
    kind: str  # ending of the file that it reads; "": a folder


FORMATS = {
    "coco": Format(read_coco, "COCO's instances or stuff, JSON", ".json"),
    "coco-panoptic": Format(read_panoptic, "COCO's panoptic pictures with their JSON", ".json"),
    "labelme": Format(read_labelme, "LabelMe's JSON files", ""),
    "cvat": Format(read_cvat_masks, 'CVAT\'s "Segmentation mask 1.1": labelmap.txt and masks', ""),
    "cvat-xml": Format(read_cvat_xml, '"CVAT for images 1.1": polygons and masks in XML', ".xml"),
    "label-studio": Format(read_label_studio, "Label Studio's JSON, or its PNG masks beside the JSON", ""),
    "colors": Format(read_colored, "RGB masks with a table of colours", ""),
    "ultralytics": Format(read_ultralytics, "polygons in text files, with the YAML file of names", ".yaml"),
}


def read_source(path: Path, options: Options, name: str | None = None) -> tuple[str, Source]:
    """The name of a source's format, and what the source holds.

    Args:
        path: a file or a folder.
        options: of the user.
        name: of the format; None: it is recognised.

    Raises:
        UsageError: the source is missing or of no known format, or its content is not as the format says.
    """
    if path.suffix.lower() in ARCHIVES:
        raise UsageError(f"{path} is an archive; unpack it, and give the folder.")
    if not path.exists():
        raise UsageError(f"There is no file or folder {path}; correct SOURCE.")
    content = None
    if name is None:
        name, path, content = _recognised(path)
    elif FORMATS[name].kind and path.is_dir():
        path = _only_file(path, FORMATS[name].kind)
    if content is None and FORMATS[name].kind == ".json":
        content = read_json(path, "annotation file", MOST_JSON, compact)
        if not (is_panoptic(content) if name == "coco-panoptic" else is_coco(content)):
            raise UsageError(
                f"{path} is not as --format {name} says, with images and annotations; give another format."
            )
    return name, FORMATS[name].read(path, options, content)


def _recognised(path: Path) -> tuple[str, Path, Any]:
    """The format, the file or folder to read, and the content of a JSON or YAML file."""
    if path.is_dir():
        found = _of_folder(path)
        if isinstance(found, str):
            return found, path, None
        path = found
    ending = path.suffix.lower()
    if ending == ".json":
        content = read_json(path, "annotation file", MOST_JSON, compact)
        tests = {"coco": is_coco, "coco-panoptic": is_panoptic, "labelme": is_labelme, "label-studio": is_label_studio}
        for name, fits in tests.items():
            if fits(content):
                return name, path, content
    elif ending in (".yaml", ".yml"):
        content = read_yaml(path, "data-set file of ultralytics")
        if is_ultralytics(content):
            return "ultralytics", path, content
    elif is_cvat_xml(path):
        return "cvat-xml", path, None
    elif path.name == "labelmap.txt":
        return "cvat", path, None
    raise UsageError(f"{path} is of no format that can be imported; give --format, one of {', '.join(FORMATS)}.")


def _of_folder(folder: Path) -> str | Path:
    """The name of the format of a folder, or the file in it that is to be read."""
    if (folder / "labelmap.txt").is_file() and (folder / "SegmentationClass").is_dir():
        return "cvat"
    if has_masks(folder) and list(folder.glob("*.json")):
        return "label-studio"
    if find_table(folder) and any((folder / name).is_dir() for name in MASK_FOLDERS):
        return "colors"
    files = sorted(file for place in (folder, folder / "annotations") for file in place.glob("*.json"))
    if files and is_labelme_folder(files):
        return "labelme"
    for kind in (".xml", ".yaml", ".yml"):
        files += sorted(folder.glob(f"*{kind}"))
    if not files:
        deep = next(folder.rglob("*.json"), None)
        if deep and is_labelme_folder([deep]):
            return "labelme"
    if len(files) != 1:
        listed = f"several annotation files ({', '.join(file.name for file in files[:6])})" if files else "none"
        raise UsageError(
            f"The folder {folder} holds {listed}; give the file to import as SOURCE, or give --format, one of "
            f"{', '.join(FORMATS)}."
        )
    return files[0]


def is_labelme_folder(files: list[Path]) -> bool:
    """Whether one of the smallest JSON files is LabelMe's."""
    for file in sorted(files, key=lambda file: file.stat().st_size)[:FEW]:
        with suppress(UsageError):
            if is_labelme(read_json(file, "annotation file")):
                return True
    return False


def _only_file(folder: Path, ending: str) -> Path:
    places = (folder, folder / "annotations")
    files = sorted(file for place in places for file in place.glob("*") if file.suffix.lower()[:4] == ending[:4])
    if len(files) != 1:
        raise UsageError(f"The folder {folder} holds {len(files)} files that end in {ending}; give one as SOURCE.")
    return files[0]
