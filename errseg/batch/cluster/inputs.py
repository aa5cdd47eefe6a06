"""The inputs of a large job: pictures on this machine and in stores, WebDataset shards, and lists in Parquet files.

A member of a shard has the address ``tar://MEMBER::SHARD``, as fsspec writes it.
"""

import glob
import os
import posixpath
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from errseg.errors import UsageError, short

from ..places import is_place
from ..sources import PICTURES, VIDEOS, Source, find_sources
from .storage import MOST_BYTES, address_of, explained_store, is_address, open_address, stamp_of, system_of

__all__ = ["Input", "Member", "find_inputs", "members", "meta_of", "read_list"]

SHARD, LIST = ".tar", ".parquet"
COLUMN = "path"
BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")  # of WebDataset: train-{000..127}.tar
MOST_SHARDS = 1_000_000
OURS = ("_overlay.png", "_labels.png", "_panoptic.png")


class Input(NamedTuple):
    """A picture, or a shard of pictures."""

    source: Source
    stamp: list[int]  # shows a change of the file

    @property
    def is_shard(self) -> bool:
        return self.source.path.lower().endswith(SHARD)


class Member(NamedTuple):
    """A picture in a shard."""

    name: str  # its path in the shard
    place: str  # below the folder of the shard's outputs, without the ending
    content: bytes


def find_inputs(arguments: Sequence[str], out: str) -> list[Input]:
    """The pictures and shards that arguments name, each once, in order.

    Args:
        arguments: as for ``find_sources``; and addresses of stores in their place; ``*.tar`` files, with
            ``{000..127}`` for numbers; ``*.parquet`` files, whose column ``path`` lists pictures and shards.
        out: the output folder. Outputs that a folder or a pattern finds there are left out.

    Raises:
        UsageError: an argument names nothing, a video, or a list that cannot be read; or a store cannot be reached.
    """
    found: dict[str, Input] = {}
    for argument in arguments:
        for each in _inputs_of(argument, out):
            found.setdefault(each.source.key, each)
    videos = [each.source.path for each in found.values() if each.source.is_video]
    if videos:
        raise UsageError(f"--engine ray segments pictures, not the video {videos[0]}; leave --engine out for videos.")
    return list(found.values())


def members(path: str) -> Iterator[Member | str]:
    """The pictures of a shard, in order, read as a stream; a sentence for a member that cannot be used.

    Raises:
        UsageError: the shard cannot be read from some place on; the members before it have been given.
    """
    taken: set[str] = set()
    with open_address(path) as file, tarfile.open(fileobj=file, mode="r|*") as shard:
        for member in shard:
            if not member.isfile() or not member.name.lower().endswith(PICTURES):
                continue
            place = PurePosixPath(member.name).with_suffix("").as_posix()
            if not is_place(place):
                yield f"{path}: the member {short(repr(member.name))} has no path in the shard; rename it."
            elif place in taken:
                yield f"{path}: two members are named {short(place)}; rename one, or their outputs would be one file."
            elif member.size > MOST_BYTES:
                yield f"{path}: the member {short(member.name)} is larger than {MOST_BYTES} bytes, the limit."
            else:
                taken.add(place)
                content = shard.extractfile(member)
                assert content is not None  # it is a file
                yield Member(member.name, place, content.read())


def read_list(path: str) -> list[str]:
    """The column ``path`` of a Parquet file: paths, relative ones below the folder of the list, and addresses.

    Raises:
        UsageError: the file cannot be read, or has no such column of texts.
    """
    import pyarrow
    from pyarrow import parquet

    with open_address(path) as file:
        try:
            table = parquet.ParquetFile(file)
            if COLUMN not in table.schema_arrow.names:
                raise UsageError(f"The list {path} has no column {COLUMN!r}; name the column of the pictures so.")
            values = table.read([COLUMN]).column(0).cast(pyarrow.string()).to_pylist()
        except pyarrow.ArrowException as error:
            raise UsageError(f"The list {path} is no Parquet file of texts ({short(error)}); write it anew.") from error
    if None in values:
        raise UsageError(f"The list {path} has an empty value in row {values.index(None)}; remove it.")
    folder = path.rpartition("/")[0]
    return [each if is_address(each) or os.path.isabs(each) else posixpath.join(folder, each) for each in values]


def _inputs_of(argument: str, out: str) -> list[Input]:
    if argument.endswith(LIST):
        return _listed(argument)
    named = [each for text in _expanded(argument) for each in _named(text, out)]
    if not named:
        raise UsageError(f"{argument} names no picture ({', '.join(PICTURES)}) and no {SHARD} shard; correct it.")
    return named


def _named(argument: str, out: str) -> list[Input]:
    """The inputs of an argument that is no list, and has no braces."""
    if is_address(argument):
        return _in_store(argument, out)
    if argument.endswith(SHARD):
        path = os.path.expanduser(argument)
        paths = [path] if os.path.isfile(path) else sorted(glob.glob(path, recursive=True))
        if not paths:
            raise UsageError(f"There is no shard {argument}; correct the path.")
        sources = [Source(each, os.path.dirname(each)) for each in paths]
    else:
        sources = find_sources([argument], "" if is_address(out) else out)
    return [Input(each, each.stamp(1)) for each in sources]


def _in_store(address: str, out: str) -> list[Input]:
    """The inputs of an address: a file, a folder, or a pattern."""
    system, path = system_of(address)
    with explained_store(address):
        if glob.has_magic(path):
            parts = path.split("/")
            root = "/".join(parts[: next(i for i, part in enumerate(parts) if glob.has_magic(part))])
            found = system.glob(path, detail=True)
        elif system.isfile(path):
            root, found = path.rpartition("/")[0], {path: system.info(path)}
        else:
            root, found = path.rstrip("/"), system.find(path, detail=True)
    endings = (*PICTURES, *VIDEOS, *([SHARD] if address.endswith(SHARD) else []))
    root, mine = address_of(system, root), out.rstrip("/") + "/"
    inputs = []
    for each, info in sorted(found.items()):
        full = address_of(system, each)
        ours = full.startswith(mine) and full.endswith(OURS)
        if info.get("type") == "file" and full.lower().endswith(endings) and not ours:
            inputs.append(Input(Source(full, root), stamp_of(info)))
    return inputs


def _listed(path: str) -> list[Input]:
    """The inputs of a list. Their places are below the folder that is common to all of them."""
    paths = list(dict.fromkeys(read_list(os.path.expanduser(path))))
    if not paths:
        raise UsageError(f"The list {path} has no rows; give one with pictures.")
    return [_entry(each, root) for root, group in _by_store(paths).items() for each in group]


def _by_store(paths: Sequence[str]) -> dict[str, list[str]]:
    """Paths by the longest folder that those of one store have in common."""
    stores: dict[str, list[str]] = {}
    for path in paths:
        stores.setdefault(path.partition("://")[0] if is_address(path) else "", []).append(path)
    return {_common([posixpath.dirname(each) for each in group]): group for group in stores.values()}


def _common(folders: Sequence[str]) -> str:
    """The longest folder that folders have in common; "" for relative ones that have none."""
    parts = [each.split("/") for each in folders]
    length = 0
    while all(len(part) > length and part[length] == parts[0][length] for part in parts):
        length += 1
    return "/".join(parts[0][:length]) or ("/" if folders[0].startswith("/") else "")


def _entry(path: str, root: str) -> Input:
    """An input of a list. A file of a store is not asked for: a list says what does not change."""
    source = Source(path, root)
    return Input(source, [] if is_address(path) else source.stamp(1))


def _expanded(argument: str) -> Iterator[str]:
    """The arguments that WebDataset's braces stand for: ``a-{00..02}.tar``."""
    match = BRACES.search(argument)
    if match is None:
        yield argument
        return
    first, last = int(match[1]), int(match[2])
    if last - first >= MOST_SHARDS:
        raise UsageError(f"{argument} stands for more than {MOST_SHARDS} files; give fewer.")
    for number in range(first, last + 1):
        text = f"{number:0{len(match[1])}d}"
        yield from _expanded(f"{argument[: match.start()]}{text}{argument[match.end() :]}")


def meta_of(each: Input, **more: Any) -> dict[str, Any]:
    """The row of an input, for a worker."""
    return {"key": each.source.key, "path": each.source.path, "root": each.source.root, "stamp": each.stamp, **more}
