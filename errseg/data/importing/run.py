"""Import a source: write the label of every picture, its image, the data-set file, the report and a contact sheet.

The output folder holds ``images``, ``labels``, ``dataset.yaml``, ``report.json``, ``samples.png``, and ``import.json``,
the ledger. ``dataset.yaml`` is written after the labels and removed before them, so that an interrupted import is no
data set. The same command goes on; pictures that have changed, and those of other options, are made again.
"""

import hashlib
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from PIL import Image

from errseg.atomic import replacing
from errseg.errors import UsageError, short
from errseg.ledger import Entry, Job, Ledger, locked_outputs

from ..custom import register_dataset_files
from ..names_file import read_names
from ..parallel import default_workers, parallel_map
from ..samples import contact_sheet
from ..vocabularies import equal_names
from .formats import read_source
from .paint import Painter, Target
from .plan import Options, Picture, Source
from .report import build_report

__all__ = ["DATASET", "Imported", "import_data"]

DATASET, REPORT, SAMPLES, LEDGER = "dataset.yaml", "report.json", "samples.png", "import.json"
HEADER = "# Written by errseg data import; docs/data.md explains the keys.\n"


class Imported(NamedTuple):
    """What an import has written."""

    dataset: Path  # the data-set file
    report: dict[str, Any]
    kept: int  # pictures that an earlier run had imported
    samples: Path | None


def _fault(key: str, entry: Entry) -> str:
    files = entry.get("files")
    if not isinstance(files, list) or not all(_is_inside(file) for file in files):
        return f"the files of {short(key)} are no paths in the folder"
    row = entry.get("row")
    kinds = {"regions": dict, "pixels": dict, "dropped": list, "overlaps": list, "hidden": list, "several": int}
    if not isinstance(row, dict) or not all(isinstance(row.get(word), kind) for word, kind in kinds.items()):
        return f"the report of {short(key)} is of another form"
    return "" if isinstance(entry.get("stamp"), str) else f"the stamp of {short(key)} is no text"


def _is_inside(file: Any) -> bool:
    if not isinstance(file, str) or not file.startswith(("images/", "labels/")) or "\0" in file:
        return False
    return ".." not in file.split("/")


JOB = Job(LEDGER, "--out", _fault, lambda content: content)


def import_data(
    path: Path,
    out: Path,
    options: Options | None = None,
    format: str | None = None,
    workers: int | None = None,
    samples: int = 8,
) -> Imported:
    """Import a source into a folder.

    Args:
        path: the file or folder of another tool.
        out: an empty or missing folder, or that of an earlier import.
        options: see :class:`Options`.
        format: a key of ``FORMATS``; None: it is recognised.
        workers: processes; None: one for each CPU.
        samples: pictures of the contact sheet; 0: none is drawn.

    Raises:
        UsageError: the source cannot be read, its names do not fit, no picture can be imported, or ``out`` holds other
            files or cannot be written.
    """
    options = options or Options()
    kind, source = read_source(path, options, format)
    names, ids = _names(path, source, options)
    ignore = 255 if len(names) <= 255 else 65535
    empty = 0 if options.background else ignore
    painter = Painter(ids, empty, ignore, options.overlap == "smaller")
    head = {"source": str(path), "format": kind, "overlap": options.overlap, "background": options.background}
    _check_folder(out, path)
    with locked_outputs(JOB, out):
        request = {"names": names, "ids": ids, "empty": empty, "ignore": ignore, "smaller": painter.smaller}
        ledger = Ledger(out, JOB, {**request, "copy": options.copy})
        rows, problems, kept = _write(out, source, painter, ledger, options.copy, workers)
        if not rows:
            raise UsageError(f"No picture of {path} can be imported: {(*source.problems, *problems)[0]}")
        report = build_report(head, names, rows, [*source.problems, *problems], source.notes)
        _write_text(out / REPORT, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        keys = {"images": "images", "labels": "labels", "names": names, "ignore": ignore, "exif": "turned"}
        text = yaml.safe_dump(keys, sort_keys=False, allow_unicode=True, width=120)
        _write_text(out / DATASET, HEADER + text)
        sheet = _draw(out, samples) if samples else None
    return Imported(out / DATASET, report, kept, sheet)


def _names(path: Path, source: Source, options: Options) -> tuple[list[str], dict[str, int | None]]:
    """The names of the class ids, and the id of each name of the source; None: it does not count."""
    listed = source.names
    if options.names:
        listed = read_names(options.names).names
        if not isinstance(listed, list) or not all(isinstance(name, str) and name.strip() for name in listed):
            raise UsageError(f"{options.names} holds no list of names; give one name a line.")
        listed = [" ".join(name.split()) for name in listed]
    unknown = [name for name in options.ignore if name not in source.names]
    if unknown:
        there = short(", ".join(source.names), 200)
        raise UsageError(f"--ignore names {unknown[0]!r}, which {path} does not have; it has {there}.")
    kept = [name for name in listed if name and name not in options.ignore]
    names = [options.background] if options.background else []
    names += [name for name in kept if name != options.background]
    if not kept:
        raise UsageError(f"{path} has no region with a name, so there is nothing to import; give another file.")
    for ids in equal_names(names):
        raise UsageError(
            f"{path} has the names {names[ids[0]]!r} and {names[ids[1]]!r}, which are the same to a model; rename one, "
            "or leave it out with --ignore."
        )
    table: dict[str, int | None] = {name: index for index, name in enumerate(names)}
    return names, {**table, **dict.fromkeys(("", *options.ignore))}


def _check_folder(out: Path, path: Path) -> None:
    """Refuse a folder with files of somebody else, and one within the source, which would be read as its part."""
    if path.is_dir() and path.resolve() in (out.resolve(), *out.resolve().parents):
        raise UsageError(f"--out {out} is inside of {path}; give a folder elsewhere.")
    if out.is_dir() and not (out / LEDGER).exists():
        others = sorted(each.name for each in out.iterdir() if not each.name.startswith("."))
        if others:
            raise UsageError(f"--out {out} holds other files ({short(', '.join(others))}); give an empty folder.")
    elif out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is no folder; give an empty folder.")


def _write(
    out: Path, source: Source, painter: Painter, ledger: Ledger, copy: bool, workers: int | None
) -> tuple[dict[str, Any], list[str], int]:
    """Write what is not there yet; the rows of the report, the problems, and how many pictures were there."""
    places = _places(source.pictures)
    stamps = {place: _stamp(picture) for place, picture in places.items()}
    done = {place for place in places if _is_done(out, ledger, place, stamps[place])}
    todo = {place: picture for place, picture in places.items() if place not in done}
    stale = [key for key in ledger.entries if key not in done]
    if todo or stale:
        (out / DATASET).unlink(missing_ok=True)
    for key in stale:
        for file in ledger.entries.pop(key)["files"]:
            with suppress(OSError):
                (out / file).unlink()
    ledger.write()
    problems = []
    try:
        tasks = [(picture, _target(out, place)) for place, picture in todo.items()]
        workers = default_workers() if workers is None else workers
        rows = parallel_map(painter, tasks, workers, "Importing")
        for (place, picture), row in zip(todo.items(), rows, strict=True):
            if isinstance(row, str):
                problems.append(row)
                continue
            target = _target(out, place)
            if not picture.embedded:
                _place_image(picture.image, target.image, copy)
            files = [file.relative_to(out).as_posix() for file in target]
            ledger.add(place, {"stamp": stamps[place], "files": files, "row": row})
            ledger.write_soon()
    except OSError as error:
        raise UsageError(
            f"--out {out} cannot be written ({error}); make room, or give another folder, or --copy where links are "
            "refused."
        ) from error
    finally:
        ledger.write()
    rows = {place: ledger.entries[place]["row"] for place in places if place in ledger.entries}
    return rows, problems, len(done)


def _places(pictures: list[Picture]) -> dict[str, Picture]:
    """A place for each picture, so that no two have the same name but for case and ending."""
    places: dict[str, Picture] = {}
    taken: set[str] = set()
    for picture in pictures:
        stem, ending = os.path.splitext(picture.place)
        wanted, number = stem, 2
        while wanted.lower() in taken:
            wanted = f"{stem}_{ending[1:].lower()}" if number == 2 and ending else f"{stem}_{number}"
            number += 1
        taken.add(wanted.lower())
        places[wanted + ending] = picture
    return places


def _target(out: Path, place: str) -> Target:
    return Target(out / "images" / place, out / "labels" / f"{os.path.splitext(place)[0]}.png")


def _stamp(picture: Picture) -> str:
    """A digest of all that a picture's label is made of."""
    files = [picture.image, *(getattr(region.shape, "path", "") for region in picture.regions)]
    files.append(picture.layer.path if picture.layer else "")
    states = []
    for file in filter(None, files):
        with suppress(OSError):
            state = os.stat(file)
            states.append((state.st_size, state.st_mtime_ns))
    return hashlib.sha256(repr((picture, states)).encode("utf-8", "surrogatepass")).hexdigest()


def _is_done(out: Path, ledger: Ledger, place: str, stamp: str) -> bool:
    if not ledger.is_current(place) or ledger.entries[place]["stamp"] != stamp:
        return False
    return all(file.exists() for file in _target(out, place))


def _place_image(image: str, target: Path, copy: bool) -> None:
    """Link or copy an image, so that the whole file or none is there."""
    if copy:
        with replacing(target) as temporary:
            shutil.copyfile(image, temporary)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.tmp")
    temporary.unlink(missing_ok=True)
    os.symlink(os.path.abspath(image), temporary)
    os.replace(temporary, target)


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _draw(out: Path, count: int) -> Path:
    name = str(out / DATASET)
    register_dataset_files([name])
    with replacing(out / SAMPLES) as temporary:
        Image.fromarray(contact_sheet(name, count)).save(temporary, format="PNG")
    return out / SAMPLES
