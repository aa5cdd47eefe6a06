"""Run a batch job: segment all inputs that are not done, and collect the problems of those that fail."""

import errno
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from errseg.api import Result, Segmenter
from errseg.errors import UsageError
from errseg.ledger import locked_outputs
from errseg.memory import memory_for

from .annotations import picture_formats, remove_annotations, write_annotations
from .annotations.label_studio import PREFIX
from .ledger import JOB, BatchLedger, request_of
from .pictures import Reader, is_lack_of_memory, segment_pictures
from .places import assign_places
from .sources import Source, problem
from .video import segment_video

__all__ = ["Outcome", "Run", "Settings", "predict"]

WAITING = 2  # results that wait to be written
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # after these errors, no other file can be written either


@dataclass(frozen=True)
class Settings:
    """The options of a batch job."""

    out: Path
    formats: tuple[str, ...] = ("overlay", "labels", "json")
    batch: int = 1
    background: str | None = None
    min_confidence: float = 0.5
    every: int = 1  # of a video, every so-many-th frame is segmented; 1 for all
    overwrite: bool = False
    prefix: str = PREFIX  # of the addresses in Label Studio's tasks


@dataclass
class Outcome:
    """The outcome of a batch job."""

    done: int = 0
    kept: int = 0  # inputs that were done before
    problems: list[str] = field(default_factory=list)  # a sentence for each input that failed
    places: dict[Source, str] = field(default_factory=dict)  # places of the outputs, below the output folder
    last: Result | None = None  # the result of the last picture
    stopped: bool = False  # whether Ctrl-C stopped the job
    annotations: list[Path] = field(default_factory=list)  # files of all pictures, or folders


def predict(model: Segmenter, sources: Sequence[Source], settings: Settings) -> Outcome:
    """Segment pictures and videos into files. Inputs that are done, and have not changed since, are not done again.

    After Ctrl-C, the files that are being written are finished.

    Args:
        model: the model, with its vocabulary.
        sources: the inputs.
        settings: the options.

    Raises:
        UsageError: another command uses the output folder, or the outputs cannot be written.
    """
    with locked_outputs(JOB, settings.out):
        remove_annotations(settings.out, settings.formats)
        outcome, ledger = _predict(model, sources, replace(settings, formats=picture_formats(settings.formats)))
        if not outcome.stopped:
            needed = picture_formats(settings.formats)
            done = {source: place for source, place in outcome.places.items() if not source.is_video}
            done = {source: place for source, place in done.items() if ledger.is_done(source, needed)}
            outcome.annotations = _annotate(settings, done)
        return outcome


def _annotate(settings: Settings, places: dict[Source, str]) -> list[Path]:
    try:
        return write_annotations(settings.out, settings.formats, places, settings.prefix)
    except OSError as error:
        raise UsageError(
            f"The annotations in {settings.out} cannot be written ({error}); make room, and give the same command "
            "again: the outputs that are there are kept."
        ) from error


def _predict(model: Segmenter, sources: Sequence[Source], settings: Settings) -> tuple[Outcome, BatchLedger]:
    """The formats of each picture, when the output folder is locked."""
    request = request_of(model, settings.background, settings.min_confidence)
    ledger = BatchLedger(settings.out, request, settings.every)
    run = Run(model, settings, ledger, assign_places(sources, ledger.places()))
    todo = [each for each in sources if settings.overwrite or not ledger.is_done(each, settings.formats)]
    run.outcome.kept = len(sources) - len(todo)
    for what, count in ledger.count_changes(todo).items():
        print(f"{count} of {len(sources)} inputs were done before with other {what}: they are done again.")
    ledger.remove(todo, masks=settings.overwrite)
    try:
        bar = tqdm(total=len(todo), desc="Segmenting", unit="file", disable=None if todo else True)
        with bar, memory_for(model.device.type):
            run.pictures([each for each in todo if not each.is_video], bar)
            run.videos([each for each in todo if each.is_video], bar)
    except KeyboardInterrupt:
        run.outcome.stopped = True
    finally:
        ledger.write()
    return run.outcome, ledger


class Run:
    """The pictures and videos of one call of :func:`predict`. A subclass may read, save and record in another way."""

    read: Reader | None = None  # of pictures; None: from their files

    def __init__(self, model: Segmenter, settings: Settings, ledger: BatchLedger | None, places: dict[Source, str]):
        self.model = model
        self.settings = settings
        self.ledger = ledger
        self.outcome = Outcome(places=places)

    def pictures(self, sources: list[Source], bar: tqdm) -> None:
        settings = self.settings
        stamps = {source: source.stamp(settings.every) for source in sources}  # before the files are read
        options = (settings.batch, settings.background, settings.min_confidence)
        some = segment_pictures(self.model, sources, *options, self.read)
        waiting = deque()
        writer = ThreadPoolExecutor(1)  # drawing and compressing a large picture takes as long as segmenting it
        try:
            for source, result in some:
                if isinstance(result, str):
                    self._fail(source, result)
                    bar.update()
                    continue
                waiting.append(
                    (source, result, writer.submit(self._write, source, partial(self._save, source, result)))
                )
                if len(waiting) > WAITING:
                    self._finish(waiting, stamps, bar)
        finally:  # after Ctrl-C too: outputs that are written are added to the ledger
            while waiting:
                self._finish(waiting, stamps, bar)
            writer.shutdown()

    def videos(self, sources: list[Source], bar: tqdm) -> None:
        for source in sources:
            stamp = source.stamp(self.settings.every)
            if self._write(source, partial(self._segment, source)):
                self._add(source, stamp)
            bar.update()

    def _finish(
        self, waiting: deque[tuple[Source, Result, Future]], stamps: dict[Source, list[int]], bar: tqdm
    ) -> None:
        """Wait until the outputs of the first waiting picture are written, and add them to the ledger."""
        source, result, written = waiting[0]
        whole = written.result()  # Ctrl-C usually interrupts here: the picture must still be in ``waiting``
        waiting.popleft()
        if whole:
            self._add(source, stamps[source])
            self.outcome.last = result
        bar.update()

    def _save(self, source: Source, result: Result, target: Path) -> None:
        result.save(target.parent, self.settings.formats, target.name)

    def _segment(self, source: Source, target: Path) -> None:
        settings = self.settings
        options = (settings.every, settings.batch, settings.background, settings.min_confidence)
        segment_video(self.model, source.path, target, settings.formats, *options)

    def _add(self, source: Source, stamp: list[int]) -> None:
        self.ledger.add_source(source, self.outcome.places[source], stamp, self.settings.formats)
        self.outcome.done += 1

    def _fail(self, source: Source, sentence: str) -> None:
        self.outcome.problems.append(sentence)

    def _write(self, source: Source, write: Callable[[Path], None]) -> bool:
        """Call ``write`` with the path of the outputs. After a failure, add the problem and return False.

        Raises:
            UsageError: the disk is full or read-only, so that all other inputs would fail too.
        """
        target = self.settings.out / self.outcome.places[source]
        try:
            write(target)
        except UsageError as error:
            self._fail(source, problem(source.path, error))
        except (OSError, UnicodeError) as error:
            if isinstance(error, OSError) and error.errno in DISK:
                raise UsageError(
                    f"{target} cannot be written ({error}); make room, and give the same command again: the outputs "
                    "that are there are kept."
                ) from error
            sentence = f"the outputs at {target} cannot be written ({error}); give another --out, or rename the input."
            self._fail(source, problem(source.path, sentence))
        except (MemoryError, RuntimeError) as error:
            if not is_lack_of_memory(error):
                raise
            sentence = "it takes more memory than there is; give a smaller one, or a smaller --batch."
            self._fail(source, problem(source.path, sentence))
        else:
            return True
        return False
