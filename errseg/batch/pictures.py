"""Segment pictures in batches, and read the next ones meanwhile. A picture that fails does not stop the others."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

import numpy as np
import torch

from errseg.api import Result, Segmenter
from errseg.errors import UsageError

from .sources import Source, problem

__all__ = ["is_lack_of_memory", "segment_pictures"]

READERS = 2
Read = tuple[Source, np.ndarray]
Reader = Callable[[Source], np.ndarray]  # (H, W, 3) uint8 RGB; raises UsageError


def segment_pictures(
    model: Segmenter,
    sources: Sequence[Source],
    batch: int,
    background: str | None,
    min_confidence: float,
    read: Reader | None = None,
) -> Iterator[tuple[Source, Result | str]]:
    """Yield the result of each picture, or the reason why there is none. Only a few pictures are in memory at once.

    ``read`` reads a picture; None: from the file at its path.
    """
    read = read or (lambda source: model.read(source.path))
    options = {"background": background, "min_confidence": min_confidence}
    pictures = _read_ahead(read, sources, batch + READERS)
    while some := list(islice(pictures, batch)):
        whole = [(source, image) for source, image in some if isinstance(image, np.ndarray)]
        yield from ((source, image) for source, image in some if isinstance(image, str))
        yield from _segment(model, whole, options)


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether an error means that the memory of the GPU or of the machine is too small."""
    kinds = (MemoryError, torch.cuda.OutOfMemoryError)
    return isinstance(error, kinds) or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))


def _segment(model: Segmenter, batch: list[Read], options: dict) -> Iterator[tuple[Source, Result | str]]:
    """Yield the results of a batch. If a batch fails, its pictures are segmented one by one."""
    try:
        results = model([image for _, image in batch], **options, batch_size=max(len(batch), 1))
    except (MemoryError, RuntimeError, UsageError) as error:
        if not isinstance(error, UsageError) and not is_lack_of_memory(error):
            raise
        if len(batch) > 1:
            for each in batch:
                yield from _segment(model, [each], options)
            return
        source, image = batch[0]
        size = f"{image.shape[1]} x {image.shape[0]} pixels"
        reason = error if isinstance(error, UsageError) else f"{size} take more memory than there is; make it smaller."
        yield source, problem(source.path, reason)
        return
    for (source, _), result in zip(batch, results, strict=True):
        yield source, replace(result, source=source.path)


def _read_ahead(read: Reader, sources: Sequence[Source], ahead: int) -> Iterator[tuple[Source, np.ndarray | str]]:
    """Yield each picture (H, W, 3), or the reason why it cannot be read. Threads read the next pictures meanwhile."""
    pool, waiting = ThreadPoolExecutor(READERS), deque()
    try:
        for source in sources:
            waiting.append((source, pool.submit(_read, read, source)))
            if len(waiting) > ahead:
                first, image = waiting.popleft()
                yield first, image.result()
        for source, image in waiting:
            yield source, image.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read(read: Reader, source: Source) -> np.ndarray | str:
    try:
        return read(source)
    except UsageError as error:
        return problem(source.path, error)
    except MemoryError:
        return problem(source.path, "it takes more memory than there is; make it smaller.")
