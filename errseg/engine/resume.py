"""Going on with a run: which checkpoint, what it says of the run, and what stays of an earlier one."""

import errno
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from detectron2.utils import comm

from errseg.checkpoint import ERRSegCheckpointer
from errseg.checkpoint.last import TAG, newest_checkpoint
from errseg.errors import UsageError
from errseg.locking import holds, locked

from .records import RUN, Record, Records

__all__ = ["Progress", "RunCheckpointer", "hold", "lacks_evaluation", "require_resumable"]


class Progress(NamedTuple):
    """How far a run has come, beside its iteration."""

    run: str  # what the run is known by, the same after a resume
    images_seen: int  # where the stream of images goes on

    @classmethod
    def start(cls) -> "Progress":
        """Of a run that begins."""
        return cls(secrets.token_hex(4), 0)  # not of the generators that a seed keys

    @classmethod
    def read(cls, state: Mapping[str, Any], images_per_iteration: int) -> "Progress":
        """Of a trainer's state in a checkpoint, which may be older than these entries.

        Args:
            state: has ``iteration``, the last one.
            images_per_iteration: until now, where the state does not say how many images were seen.
        """
        run, seen = state.get("run"), state.get("images_seen")
        if not isinstance(run, str) or not RUN.fullmatch(run):
            run = cls.start().run
        if type(seen) is not int or seen < 0:
            seen = (state["iteration"] + 1) * images_per_iteration
        return cls(run, seen)


class RunCheckpointer(ERRSegCheckpointer):
    """The checkpointer of a run, whose first save takes the folder over from an earlier run.

    Attributes:
        records: of the run.
    """

    records: Records | None = None

    def save(self, name: str, **kwargs: Any) -> None:
        if self.save_to_disk and not os.path.isdir(self.save_dir):  # it would be made anew, without the run's records
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.save_dir)
        super().save(name, **kwargs)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        super().tag_last_checkpoint(last_filename_basename)
        if self.records is not None:
            self.records.settle()


@contextmanager
def hold(folder: str) -> Iterator[None]:
    """Keep other processes out of OUTPUT_DIR for a while; the main process does, unless it holds the folder already.

    Raises:
        UsageError: another run is at work there.
    """
    if not comm.is_main_process() or holds(folder):
        yield
        return
    with locked(folder, "OUTPUT_DIR"):
        yield


def require_resumable(checkpointer: ERRSegCheckpointer) -> bool:
    """Whether a folder has a checkpoint to resume from.

    Returns:
        False where it has none at all, so that a resume begins at the beginning.

    Raises:
        UsageError: it has checkpoints, but ``last_checkpoint`` does not say which is the last.
    """
    if checkpointer.get_checkpoint_file():
        return True
    newest = newest_checkpoint(checkpointer.save_dir)
    if newest is None:
        return False
    raise UsageError(
        f"--resume: {Path(checkpointer.save_dir) / TAG} is missing; write the name of a checkpoint into it, such as "
        f"{newest.name}, the newest, or leave --resume out to start anew."
    )


def lacks_evaluation(records: list[Record], start_iteration: int, max_iteration: int, period: int) -> bool:
    """Whether an evaluation that came after a checkpoint was due, and a kill came before its record was written.

    The one after the last iteration is not among them: a resume makes it in any case.

    Args:
        records: of the iterations before ``start_iteration``.
        start_iteration: the first that comes now.
        max_iteration: of the run.
        period: TEST.EVAL_PERIOD.
    """
    due = period > 0 and start_iteration > 0 and start_iteration % period == 0 and start_iteration < max_iteration
    last = start_iteration - 1
    return due and not any(record["iteration"] == last and "total_loss" not in record for record in records)
