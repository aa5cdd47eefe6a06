"""The records of a run: ``metrics.json`` in its folder, one JSON line for each iteration and each evaluation."""

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
EARLIER = "metrics.json.before"  # the records of the earlier run in the same folder
RUN = re.compile(r"[0-9a-f]{8}")  # the id of a run
LOSS = "total_loss"  # in every record of losses, and in no other

Record = dict[str, Any]
logger = logging.getLogger(__name__)


class Records:
    """``metrics.json``. At any moment it holds the records of one run.

    A new run may start in the folder of an earlier one. Its records are then written to ``metrics.json.<run>`` until
    its first checkpoint, so that the earlier run can still be resumed. After the checkpoint, that file is renamed to
    ``metrics.json``, and the earlier one to ``metrics.json.before``. If a kill comes between the checkpoint and the
    renaming, the resume does the renaming.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.path = self.folder / METRICS
        self.next_iteration = 0  # the first iteration whose losses are not recorded

    def start_anew(self, run: str) -> None:
        """Begin the records of a new run.

        Args:
            run: the id of the run; matches ``RUN``.
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
        """Keep the records of a run before an iteration. Drop lines that are no records, with a warning.

        Args:
            run: as in ``start_anew``.
            iteration: the next iteration of the run.

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
        """Replace the earlier run's ``metrics.json``. Call it once a checkpoint of this run has been written."""
        if self.path.name != METRICS:
            self._take_over(self.path)

    def append(self, record: Mapping[str, Any]) -> None:
        """Append a record. It survives a kill of this process.

        Raises:
            OSError: the file cannot be written, or has been removed.
        """
        line = json.dumps(record, sort_keys=True) + "\n"
        # Without O_CREAT: it is an error if the folder was removed, or if another run took it over.
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
        unfinished = bad == [len(lines)] and not lines[-1].endswith(b"\n")  # the last line, which the kill cut off
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
    """Appends the unsmoothed scalars of each iteration to the records of a run, once for each iteration."""

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
    """The record of a line; None where the line is no record or is incomplete."""
    try:
        record = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or type(record.get("iteration")) is not int:
        return None
    return record
