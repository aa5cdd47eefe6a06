"""The work on a group of pictures: read, segment, write. It knows nothing of Ray, and runs in any process.

A row is a dictionary that crosses processes as a line of JSON. Those of inputs have "key", "path", "root", "place" and
"stamp"; those of a shard also "done", the members that need not be done again. Rows of pictures go on with their bytes.
The worker answers each with "key", "place" and "stamp" and, where it has failed, "problem".
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from errseg.api import Result, Segmenter
from errseg.api.images import decode_image
from errseg.errors import UsageError

from ..ledger import request_of
from ..run import Run, Settings
from ..sources import Source, problem
from .inputs import Input, members
from .masks import PARTS, part_of, row_of, write_rows
from .storage import Folder, read_file

__all__ = ["ModelSpec", "Row", "Task", "Worker", "from_line", "read_rows", "to_line"]

Row = dict[str, Any]


class ModelSpec(NamedTuple):
    """How every worker loads the model: the arguments of ``errseg.load``, and of ``set_vocabulary``."""

    config: str
    weights: str | None
    device: str
    precision: str | None
    overrides: tuple[Any, ...]
    vocabulary: Any
    num_classes: Any
    digest: str  # of the weights that the driver has loaded

    def load(self) -> Segmenter:
        """The model with its vocabulary.

        Raises:
            UsageError: a file is missing on this machine, or is not that of the driver.
        """
        from errseg.api import load

        model = load(self.config, self.weights, self.device, self.precision, self.overrides, verbose=False)
        model.set_vocabulary(self.vocabulary, self.num_classes)
        if self.digest and request_of(model, None, 0.5)["weights"] != self.digest:
            raise UsageError(
                f"{self.weights or self.config} is another file on a worker's machine; give a path "
                "that all machines share, or OWNER/NAME on the hub."
            )
        return model


class Task(NamedTuple):
    """What a worker does with each picture."""

    out: str
    settings: Settings  # of formats, it has those of files of each picture
    parquet: bool  # whether masks go to Parquet files
    request: str  # the ID of the request


class Worker:
    """Segments groups of pictures with one model.

    Args:
        model: the model, or how to load it.
        task: what to do.
        threads: of this process; None: as they are.
    """

    def __init__(self, model: ModelSpec | Segmenter, task: Task, threads: int | None = None):
        import torch

        if threads:
            torch.set_num_threads(threads)
        self.task = task
        self.fatal = ""  # why no picture can be done
        try:
            self.model = model.load() if isinstance(model, ModelSpec) else model
            self.folder = Folder(task.out)
        except UsageError as error:  # an exception would be raised again and again, with a traceback
            self.fatal = str(error)

    def __call__(self, rows: Sequence[Row], contents: Sequence[bytes | None]) -> list[Row]:
        """Segment pictures, and write their outputs.

        Args:
            rows: of pictures; one that has a "problem" or that counts pictures that are kept goes through as it is.
            contents: the bytes of each file; None where there is none.

        Returns:
            A row for each. A row with "fatal" says why no further picture can be done.
        """
        if self.fatal:
            return [{"fatal": self.fatal}]
        pairs = list(zip(rows, contents, strict=True))
        through = [row for row, content in pairs if content is None]
        todo = {Source(row["path"], row["root"]): (row, content) for row, content in pairs if content is not None}
        if not todo:
            return through
        try:
            with self.folder.scratch() as scratch:
                done = _Group(self.model, self.task, self.folder, scratch, todo).run()
        except UsageError as error:
            return [*through, {"fatal": str(error)}]
        return through + done


class _Group(Run):
    """The pictures of one group."""

    def __init__(
        self,
        model: Segmenter,
        task: Task,
        folder: Folder,
        scratch: Path,
        todo: Mapping[Source, tuple[Row, bytes]],
    ):
        settings = replace(task.settings, out=scratch)
        super().__init__(model, settings, None, {source: row["place"] for source, (row, _) in todo.items()})
        self.task, self.folder, self.scratch, self.todo = task, folder, scratch, todo
        self.answers: list[Row] = []
        self.masks: list[Row] = []
        self.read = lambda source: decode_image(todo[source][1], source.path, model.cfg.INPUT.MAX_PIXELS)

    def run(self) -> list[Row]:
        """The answers, when all outputs are in their places."""
        from tqdm import tqdm

        with tqdm(disable=True) as bar:
            self.pictures(list(self.todo), bar)
        if self.masks:
            part = part_of([row["key"] for row, _ in self.todo.values()], self.task.request)
            try:
                write_rows(self.scratch / part, self.masks)
                self.folder.put(self.scratch / part, f"{PARTS}/{part}")
            except OSError as error:
                raise UsageError(
                    f"{self.folder}/{PARTS} cannot be written ({error}); make room, and give the same command again."
                ) from error
            for row in self.answers:
                row |= {} if "problem" in row else {"part": part}
        return self.answers

    def _save(self, source: Source, result: Result, target: Path) -> None:
        row = self.todo[source][0]
        for path in result.save(target.parent, self.settings.formats, target.name):
            self.folder.put(path, path.relative_to(self.scratch).as_posix())
        if self.task.parquet:
            self.masks.append(row_of(row["key"], row["place"], result))

    def _add(self, source: Source, stamp: list[int]) -> None:
        self._answer(source)

    def _fail(self, source: Source, sentence: str) -> None:
        where = str(self.scratch)
        self._answer(source, problem=sentence.replace(where, str(self.folder)))

    def _answer(self, source: Source, **more: Any) -> None:
        row = self.todo[source][0]
        self.answers.append(
            {"key": row["key"], "path": row["path"], "place": row["place"], "stamp": row["stamp"], **more}
        )


def read_rows(rows: Sequence[Row]) -> Iterator[tuple[Row, bytes | None]]:
    """Read the pictures of inputs; a shard gives a row for each of its members.

    Yields:
        The row of a picture and its bytes; or a row with a "problem", or with the number of members that are "kept",
        and None.
    """
    for row in rows:
        if Input(Source(row["path"], row["root"]), row["stamp"]).is_shard:
            yield from _members(row)
            continue
        try:
            yield row, read_file(row["key"])
        except UsageError as error:
            yield {**row, "problem": problem(row["path"], error)}, None


def _members(row: Row) -> Iterator[tuple[Row, bytes | None]]:
    path, done, kept = row["path"], set(row.get("done", ())), 0
    try:
        for member in members(row["key"]):
            if isinstance(member, str):
                yield {"path": path, "problem": member}, None
            elif member.name in done:
                kept += 1
            else:
                address = f"tar://{member.name}::{path}"
                key, place = f"tar://{member.name}::{row['key']}", f"{row['place']}.tar/{member.place}"
                yield {"key": key, "path": address, "root": "", "place": place, "stamp": row["stamp"]}, member.content
    except UsageError as error:
        yield {"path": path, "problem": problem(path, error)}, None
    if kept:
        yield {"kept": kept}, None


def to_line(row: Row) -> str:
    """A row as ASCII, so that file names of any bytes cross processes."""
    return json.dumps(row)


def from_line(line: str) -> Row:
    """The row of a line."""
    return json.loads(line)
