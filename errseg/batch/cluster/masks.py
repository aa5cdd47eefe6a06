"""Run-length masks in Parquet files, ``masks/ID.parquet``: a row for each picture.

A worker writes a file for each group of pictures that it gets, under a name that follows from them. So a group that is
done again replaces its file. The ledger says which rows count; ``reconcile`` removes all others.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from errseg.api import Result
from errseg.atomic import replacing
from errseg.errors import UsageError, short

from .storage import Folder

__all__ = ["PARTS", "is_part", "part_of", "reconcile", "remove_orphans", "row_of", "write_rows"]

PARTS = "masks"
PART = re.compile(r"[0-9a-f]{32}\.parquet")


def is_part(name: Any) -> bool:
    """Whether a value is the name of a file of masks."""
    return isinstance(name, str) and PART.fullmatch(name) is not None


def part_of(keys: Sequence[str], request: str) -> str:
    """The name of the file of a group of pictures, by their keys and the digest of the request."""
    text = "\n".join([request, *keys])
    return f"{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.parquet"


def row_of(key: str, place: str, result: Result) -> dict[str, Any]:
    """The row of a picture.

    Returns:
        ``key`` (the input's address), ``place``, ``width`` and ``height`` in pixels, ``names`` of the vocabulary, and
        ``segments``, one for each name that has pixels: ``id`` and ``name``, ``area`` in pixels, ``score``, the mean
        confidence, ``bbox`` (left, top, width, height), and ``counts``, COCO's run-length code of (height, width).
    """
    height, width = result.labels.shape
    segments = [
        {
            "id": each["category_id"],
            "name": each["category_name"],
            "area": each["area"],
            "score": each["score"],
            "bbox": each["bbox"],
            "counts": each["segmentation"]["counts"],
        }
        for each in result.to_coco()
    ]
    key = key.encode("utf-8", "backslashreplace").decode()  # as the JSON files write a name that is no UTF-8
    place = place.encode("utf-8", "backslashreplace").decode()
    size = {"width": width, "height": height}
    return {"key": key, "place": place, **size, "names": list(result.names), "segments": segments}


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of a group.

    Raises:
        OSError: the file cannot be written.
    """
    import pyarrow
    from pyarrow import parquet

    segment = pyarrow.struct(
        [
            ("id", pyarrow.int32()),
            ("name", pyarrow.string()),
            ("area", pyarrow.int64()),
            ("score", pyarrow.float64()),
            ("bbox", pyarrow.list_(pyarrow.float64())),
            ("counts", pyarrow.string()),
        ]
    )
    columns = [("key", pyarrow.string()), ("place", pyarrow.string())]
    columns += [("width", pyarrow.int32()), ("height", pyarrow.int32())]
    columns += [("names", pyarrow.list_(pyarrow.string())), ("segments", pyarrow.list_(segment))]
    table = pyarrow.Table.from_pylist([dict(row) for row in rows], pyarrow.schema(columns))
    with replacing(path) as temporary:
        parquet.write_table(table, str(temporary), compression="zstd")


def reconcile(folder: Folder, entries: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Make the files of masks hold the rows of the ledger's entries, each once, and no others.

    Args:
        folder: the output folder.
        entries: the ledger's entries by key; those with a "part" have a row in this file.

    Returns:
        The names of the files that are there.

    Raises:
        UsageError: a file is damaged, or cannot be written.
    """
    places: dict[str, set[str]] = {}
    for entry in entries.values():
        if is_part(entry.get("part")):
            places.setdefault(entry["part"], set()).add(entry["place"])
    there = {path.partition("/")[2] for path in folder.files(PARTS)}
    for name in sorted(there):
        if name in places:
            _keep(folder, name, places[name])
        elif is_part(name):
            folder.remove(f"{PARTS}/{name}")
    return there & places.keys()


def remove_orphans(folder: Folder, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Remove the files of masks of which no row counts."""
    known = {entry.get("part") for entry in entries.values()}
    for path in folder.files(PARTS):
        name = path.partition("/")[2]
        if is_part(name) and name not in known:
            folder.remove(path)


def _keep(folder: Folder, name: str, places: set[str]) -> None:
    """Keep the rows of some places in a file."""
    import pyarrow
    from pyarrow import compute, parquet

    path = f"{PARTS}/{name}"
    with folder.scratch() as scratch:
        copy = scratch / name
        folder.get(path, copy)
        try:
            if parquet.ParquetFile(copy).metadata.num_rows == len(places):
                return
            table = parquet.read_table(copy)
            wanted = [each.encode("utf-8", "backslashreplace").decode() for each in places]
            table = table.filter(compute.is_in(table["place"], pyarrow.array(wanted, pyarrow.string())))
        except (pyarrow.ArrowException, KeyError) as error:
            raise UsageError(
                f"{folder}/{path} is no file of masks ({short(error)}); remove it, and its pictures are done again."
            ) from error
        with replacing(copy) as temporary:
            parquet.write_table(table, str(temporary), compression="zstd")
        folder.put(copy, path)
