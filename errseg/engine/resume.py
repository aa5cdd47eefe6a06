"""Resuming a run: its checkpoint, its progress, and the lock of its folder."""

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

__all__ = ["FINAL", "Progress", "RunCheckpointer", "hold", "lacks_evaluation", "require_resumable"]

FINAL = "model_final"  # the checkpoint at the end of a run


class Progress(NamedTuple):
    """The progress of a run, apart from its iteration."""

    run: str  # the id of the run, the same after a resume
    images_seen: int  # the position in the stream of images

    @classmethod
    def start(cls) -> "Progress":
        """The progress of a new run."""
        return cls(secrets.token_hex(4), 0)  # independent of the seeded generators

    @classmethod
    def read(cls, state: Mapping[str, Any], images_per_iteration: int) -> "Progress":
        """The progress in a trainer's state. The state of an older checkpoint may lack it.

        Args:
            state: a trainer's state; ``iteration`` is the last one done.
            images_per_iteration: gives the number of images seen where the state lacks it.
        """
        run, seen = state.get("run"), state.get("images_seen")
        if not isinstance(run, str) or not RUN.fullmatch(run):
            run = cls.start().run
        if type(seen) is not int or seen < 0:
            seen = (state["iteration"] + 1) * images_per_iteration
        return cls(run, seen)


class RunCheckpointer(ERRSegCheckpointer):
    """The checkpointer of a run. Its first save replaces an earlier run's records by those of this run.

    The final checkpoint comes with ``model_final.safetensors``, its weights alone.

    Attributes:
        records: the records of the run.
    """

    records: Records | None = None

    def save(self, name: str, **kwargs: Any) -> None:
        if self.save_to_disk and not os.path.isdir(self.save_dir):  # a new folder would lack the run's records
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.save_dir)
        super().save(name, **kwargs)
        if name == FINAL:
            self.save_weights(name, iteration=str(kwargs.get("iteration", "")))

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        super().tag_last_checkpoint(last_filename_basename)
        if self.records is not None:
            self.records.settle()


@contextmanager
def hold(folder: str) -> Iterator[None]:
    """Lock OUTPUT_DIR against other runs inside the context. Only the main process locks, and only once.

    Raises:
        UsageError: another run holds the lock.
    """
    if not comm.is_main_process() or holds(folder):
        yield
        return
    with locked(folder, "OUTPUT_DIR"):
        yield


def require_resumable(checkpointer: ERRSegCheckpointer) -> bool:
    """Whether a folder has a checkpoint to resume from.

    Returns:
        False where the folder has no checkpoint: a resume then starts at iteration 0.

    Raises:
        UsageError: the folder has checkpoints, but no ``last_checkpoint`` that names the last of them.
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
    """Whether the evaluation after the last checkpoint was due but has no record, because the run was killed.

    The evaluation after the last iteration does not count: a resume runs it in any case.

    Args:
        records: the records of the iterations before ``start_iteration``.
        start_iteration: the next iteration of the run.
        max_iteration: the number of iterations of the run.
        period: TEST.EVAL_PERIOD.
    """
    due = period > 0 and start_iteration > 0 and start_iteration % period == 0 and start_iteration < max_iteration
    last = start_iteration - 1
    return due and not any(record["iteration"] == last and "total_loss" not in record for record in records)
