"""The records of a run, ``metrics.json`` in its folder: a JSON line of each iteration's losses and each evaluation."""

import json
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detectron2.utils.events import EventWriter, get_event_storage

from errseg.atomic import replacing
from errseg.errors import UsageError

__all__ = ["Records", "RecordWriter"]

METRICS = "metrics.json"
EARLIER = "metrics.json.before"  # those of the run that another one took the folder from
RUN = re.compile(r"[0-9a-f]{8}")  # what a run is known by
LOSS = "total_loss"  # in every record of losses, and in no other

Record = dict[str, Any]
logger = logging.getLogger(__name__)


class Records:
    """``metrics.json``, which reads as one run at any moment.

    Where a run starts anew in the folder of an earlier one, its records wait in ``metrics.json.<run>`` until its first
    checkpoint: until then, the earlier run can be resumed. They then take the place of ``metrics.json``, which is kept
    as ``metrics.json.before``. A kill between the checkpoint and that is made up for by the resume of the run.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.path = self.folder / METRICS
        self.next_iteration = 0  # whose losses are not here yet

    def start_anew(self, run: str) -> None:
        """Begin the records of a new run.

        Args:
            run: matches ``RUN``, and is no other run's.
        """
        self._drop_waiting()
        self.path, self.next_iteration = self.folder / METRICS, 0
        if (self.folder / "last_checkpoint").exists() or (self.path.is_file() and self.path.stat().st_size):
            logger.warning(
                "%s holds an earlier run. Its last_checkpoint and metrics.json stay until the first checkpoint of this "
                "new run, and its records from then on as %s; to go on with the earlier run, stop and add --resume.",
                self.folder,
                EARLIER,
            )
            self.path = self._waiting(run)
        self.path.write_bytes(b"")

    def go_on(self, run: str, iteration: int) -> list[Record]:
        """Keep the records of a run before an iteration; lines that are no records are named and left out.

        Args:
            run: as in ``start_anew``.
            iteration: the first that comes now.

        Returns:
            The records that are kept.

        Raises:
            UsageError: ``metrics.json`` is no regular file.
        """
        self.path, self.next_iteration = self.folder / METRICS, iteration
        if self._waiting(run).is_file():  # the kill came right after the first checkpoint
            self._take_over(self._waiting(run))
        self._drop_waiting()
        if self.path.exists() and not self.path.is_file():
            raise UsageError(f"{self.path} is no regular file; move it away, and start again.")
        return self._cut(iteration)

    def settle(self) -> None:
        """Take the place of the earlier run's records; a checkpoint of this run has been written."""
        if self.path.name != METRICS:
            self._take_over(self.path)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record; a kill of this process does not lose it.

        Raises:
            OSError: the disk does not take it, or the file has been removed.
        """
        line = json.dumps(record, sort_keys=True) + "\n"
        # Without O_CREAT: a removed folder, or one that another run took, is an error.
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(line)

    def _waiting(self, run: str) -> Path:
        return self.folder / f"{METRICS}.{run}"

    def _take_over(self, waiting: Path) -> None:
        self.path = self.folder / METRICS
        if self.path.is_file():
            os.replace(self.path, self.folder / EARLIER)
        os.replace(waiting, self.path)

    def _drop_waiting(self) -> None:
        """Remove the records of runs that were killed before their first checkpoint."""
        for path in self.folder.glob(f"{METRICS}.*"):
            if RUN.fullmatch(path.name.removeprefix(f"{METRICS}.")):
                path.unlink()

    def _cut(self, iteration: int) -> list[Record]:
        lines = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
        kept, records, bad = [], [], []
        for number, line in enumerate(lines, start=1):
            record = _record_of(line)
            if record is None:
                bad.append(number)
            elif record["iteration"] < iteration:
                kept.append(line)
                records.append(record)
        unfinished = bad == [len(lines)] and not lines[-1].endswith(b"\n")  # by the kill, as any run may leave it
        if bad and not unfinished:
            logger.warning(
                "%s has %d lines that are no records, such as line %d; they are left out.", self.path, len(bad), bad[0]
            )
        missing = set(range(iteration)) - {record["iteration"] for record in records if LOSS in record}
        if missing:
            logger.warning("%s lacks %d of the %d iterations before this.", self.path, len(missing), iteration)
        if kept != lines or not self.path.exists():
            with replacing(self.path) as temporary:
                temporary.write_bytes(b"".join(kept))
        return records


class RecordWriter(EventWriter):
    """Adds the scalars of each iteration, unsmoothed, to the records of a run, once."""

    def __init__(self, records: Records):
        self.records = records

    def write(self) -> None:
        lines: dict[int, dict[str, float]] = {}
        for name, (value, iteration) in get_event_storage().latest_with_smoothing_hint(1).items():
            if iteration >= self.records.next_iteration:
                lines.setdefault(iteration, {})[name] = value
        for iteration in sorted(lines):
            self.records.append({"iteration": iteration, **lines[iteration]})
            self.records.next_iteration = iteration + 1


def _record_of(line: bytes) -> Record | None:
    """The record of a line; None where it is none, or not whole."""
    try:
        record = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or type(record.get("iteration")) is not int:
        return None
    return record
