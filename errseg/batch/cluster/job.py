"""What a large job has to do, and the ledger of what is done. It knows nothing of Ray."""

import csv
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from errseg.atomic import replacing
from errseg.errors import UsageError
from errseg.ledger import Request

from ..ledger import PARQUET, BatchLedger
from ..places import LEDGER, assign_places, outputs
from ..run import Outcome, Settings
from .inputs import Input, meta_of
from .masks import reconcile, remove_orphans
from .storage import Folder
from .worker import Row

__all__ = ["FAILED", "Job", "ledger_of"]

FAILED = "failed.csv"


class RemoteLedger(BatchLedger):
    """A ledger whose file is copied into the output folder after each writing, where that is in a store."""

    remote: Folder | None = None

    def write(self) -> None:
        super().write()
        if self.remote is not None:
            copy = self.path.with_name(f"{LEDGER}.copy")
            shutil.copyfile(self.path, copy)
            self.remote.put(copy, LEDGER)


@contextmanager
def ledger_of(folder: Folder, request: Request) -> Iterator[RemoteLedger]:
    """The ledger of an output folder.

    Raises:
        UsageError: it is damaged.
    """
    if folder.local is not None:
        yield RemoteLedger(folder.local, request, 1)
        return
    with tempfile.TemporaryDirectory() as here:
        if LEDGER in folder.files():
            folder.get(LEDGER, Path(here) / LEDGER)
        try:
            ledger = RemoteLedger(Path(here), request, 1)
        except UsageError as error:
            raise UsageError(str(error).replace(here, str(folder))) from error
        ledger.remote = folder
        yield ledger


class Job:
    """What one command does: the inputs that are to be done, and the ledger of those that are.

    Attributes:
        rows: of the inputs that are to be done, see ``worker``.
        formats: of the files of each picture.
        parquet: whether masks go to Parquet files.
    """

    def __init__(self, folder: Folder, ledger: RemoteLedger, inputs: list[Input], settings: Settings):
        self.folder, self.ledger, self.settings = folder, ledger, settings
        self.parquet = PARQUET in settings.formats
        self.formats = tuple(each for each in settings.formats if each != PARQUET)
        self.parts = reconcile(folder, ledger.entries)
        self.there = set() if folder.local is not None else folder.files()
        self.failed: list[tuple[str, str]] = []
        places = assign_places([each.source for each in inputs], ledger.places())
        self.outcome = Outcome(places=places)
        self.rows = self._rows(inputs, places)

    def _rows(self, inputs: list[Input], places: dict[Any, str]) -> list[Row]:
        """The rows of what is to be done. Entries of what is done again are removed from the ledger."""
        done = {} if self.settings.overwrite else self._done_members()
        rows, again = [], []
        for each in inputs:
            key, place = each.source.key, places[each.source]
            if each.is_shard:
                rows.append(meta_of(each, place=place, done=done.get((key, tuple(each.stamp)), [])))
            elif self.settings.overwrite or not self._is_done(key, each.stamp):
                rows.append(meta_of(each, place=place))
                again.append(each.source)
            else:
                self.outcome.kept += 1
        for what, count in self.ledger.count_changes(again).items():
            print(f"{count} of {len(inputs)} inputs were done before with other {what}: they are done again.")
        self.ledger.remove(again, self.parquet or self.settings.overwrite)
        return rows

    def _done_members(self) -> dict[tuple[str, tuple[int, ...]], list[str]]:
        """The members that are done, by the key and the stamp of their shard."""
        done: dict[tuple[str, tuple[int, ...]], list[str]] = {}
        for key, entry in self.ledger.entries.items():
            name, separator, shard = key.removeprefix("tar://").partition("::")
            if separator and key.startswith("tar://") and self._is_done(key, entry["stamp"]):
                done.setdefault((shard, tuple(entry["stamp"])), []).append(name)
        return done

    def _is_done(self, key: str, stamp: list[int]) -> bool:
        if not self.ledger.holds(key, stamp, self.settings.formats):
            return False
        entry = self.ledger.entries[key]
        if self.parquet and entry.get("part") not in self.parts:
            return False
        paths = outputs(entry["place"], False, self.formats)
        if self.folder.local is not None:
            return all((self.folder.local / path).exists() for path in paths)
        return self.there.issuperset(paths)

    def take_all(self, answers: Iterable[Row]) -> None:
        """Record the answers of the workers as they come.

        Raises:
            UsageError: a worker cannot load the model, or outputs cannot be written.
        """
        try:
            with tqdm(desc="Segmenting", unit="file", disable=None) as bar:
                for row in answers:
                    self._take(row, bar)
        except KeyboardInterrupt:
            self.outcome.stopped = True
        finally:
            self.ledger.write()
            self._write_failed()
        if not self.outcome.stopped:
            self.folder.remove_scratch()
            remove_orphans(self.folder, self.ledger.entries)

    def _take(self, row: Row, bar: tqdm) -> None:
        if "fatal" in row:
            raise UsageError(row["fatal"])
        if "kept" in row:
            self.outcome.kept += row["kept"]
            return
        if "problem" in row:
            self.outcome.problems.append(row["problem"])
            self.failed.append((row["path"], row["problem"]))
        else:
            entry = {"place": row["place"], "stamp": row["stamp"], "formats": list(self.settings.formats)}
            self.ledger.add_done(row["key"], entry | ({"part": row["part"]} if "part" in row else {}))
            self.outcome.done += 1
        bar.update()

    def _write_failed(self) -> None:
        """Write the inputs that failed in this run, a row for each; no file where there are none."""
        if not self.failed:
            self.folder.remove(FAILED)
            return
        with self.folder.scratch() as scratch:
            with (
                replacing(scratch / FAILED) as temporary,
                temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
            ):
                csv.writer(file).writerows([("input", "reason"), *sorted(self.failed)])
            self.folder.put(scratch / FAILED, FAILED)
