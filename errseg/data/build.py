"""The data loaders.

The training stream has no state. Position ``p`` holds image ``p mod N`` of the ``p div N``-th permutation of the N
images; its augmentations use random numbers keyed by (seed, p). Iteration i starts at position i · IMS_PER_BATCH. Where
IMS_PER_BATCH has changed, it starts at the number of images seen before. So a run can resume at any iteration, with any
number of workers and processes, and gets the same images as a run without interruption.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import (
    MetadataCatalog,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset, Sampler

from errseg.config import samples_of
from errseg.errors import UsageError

from .mapper import SemSegMapper
from .region_mapper import RegionMapper
from .regions import region_records

__all__ = [
    "PositionSampler",
    "TrainingStream",
    "build_test_loader",
    "build_train_loader",
    "images_per_step",
    "starting_at",
]

Record = dict[str, Any]
Mapper = Callable[[Record], Record | None]


class Samples(NamedTuple):
    """What a loader serves."""

    records: Callable[[CfgNode, Sequence[str], bool], list[Record]]  # from names of data sets, and whether to train
    mapper: Callable[[CfgNode, str, bool], Mapper]  # from the name of a data set, and whether to train


SAMPLES = {  # by ``System.samples``
    "images": Samples(
        lambda cfg, names, is_train: get_detection_dataset_dicts(names, filter_empty=False),
        lambda cfg, name, is_train: SemSegMapper(cfg, is_train=is_train),
    ),
    "regions": Samples(region_records, lambda cfg, name, is_train: RegionMapper(cfg, name, is_train=is_train)),
}


@dataclass
class Start:
    """Where training starts: keywords of :func:`build_train_loader`, and whether a loader has used them."""

    position: dict[str, Any]
    taken: bool = False


_start: ContextVar[Start | None] = ContextVar("start", default=None)


@contextmanager
def starting_at(**position: Any) -> Iterator[Start]:
    """Set the start for each call of :func:`build_train_loader` in this context that gives neither start nor seed.

    The trainer calls ``build_train_loader(cls, cfg)``, which a subclass may override, in this context: Detectron2's
    signature has no argument for the start.
    """
    start = Start(position)
    token = _start.set(start)
    try:
        yield start
    finally:
        _start.reset(token)


class TrainingStream(Dataset):
    """The endless training stream, indexed by position."""

    def __init__(self, records: Sequence[Record], mapper: Callable[[Record], Record], seed: int):
        self.records = records
        self.mapper = mapper
        self.seed = seed
        self._epoch = -1
        self._order = np.empty(0, dtype=np.int64)

    def __getitem__(self, position: int) -> Record:
        epoch, place = divmod(position, len(self.records))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, np.random.default_rng((self.seed, epoch)).permutation(len(self.records))
        record = self._map(self._order[place], position)
        return self._another(position) if record is None else record

    def _map(self, index: int, position: int) -> Record | None:
        with _seeded(self.seed, position):
            return self.mapper(self.records[index])

    def _another(self, position: int) -> Record:
        """Another image, where the mapper returns None for the first; the choice depends on (seed, position) alone."""
        for index in np.random.default_rng((self.seed, position, 1)).permutation(len(self.records)):
            record = self._map(index, position)
            if record is not None:
                return record
        raise UsageError(
            f"The mapper returns None for each of the {len(self.records)} training images; let it return some of them."
        )


class PositionSampler(Sampler):
    """The positions of one process: every ``world_size``-th from ``start + rank`` on, without end."""

    def __init__(self, start: int, rank: int, world_size: int):
        self.start = start
        self.rank = rank
        self.world_size = world_size

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.start + self.rank, self.world_size)


def images_per_step(cfg: CfgNode, world_size: int) -> int:
    """Images that go through the model at once, in one process.

    Raises:
        UsageError: the batch does not divide evenly.
    """
    total, parts = cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.ACCUMULATION_STEPS
    if parts < 1 or total < 1 or total % (world_size * parts):
        raise UsageError(
            f"SOLVER.IMS_PER_BATCH {total} does not divide into {world_size} processes × "
            f"{parts} SOLVER.ACCUMULATION_STEPS; make it a positive multiple of {world_size * max(parts, 1)}."
        )
    return total // (world_size * parts)


def build_train_loader(
    cfg: CfgNode,
    start_iteration: int | None = None,
    seed: int | None = None,
    mapper: Callable[[Record], Record | None] | None = None,
    start_image: int | None = None,
) -> DataLoader:
    """The training loader of this process, from an iteration on.

    Args:
        cfg: the configuration.
        start_iteration: the first iteration that it serves; None: that of :func:`starting_at`, or 0.
        seed: of the order and the augmentations, the same in every process; None: that of :func:`starting_at`, or
            ``cfg.SEED``.
        mapper: maps a record; None: that of the samples of the system, :class:`SemSegMapper` for images. Where it
            returns None for a record, another one is taken.
        start_image: the first position of the stream that it serves; None: that of ``start_iteration``.

    Returns:
        Endless lists of :func:`images_per_step` mapped records; SOLVER.ACCUMULATION_STEPS lists make an iteration.

    Raises:
        UsageError: a data set is missing, the data sets differ in vocabulary, or the batch does not divide evenly.
    """
    told = _start.get()
    if told and start_iteration is None and seed is None and start_image is None:
        told.taken = True
        return build_train_loader(cfg, mapper=mapper, **told.position)
    world_size = comm.get_world_size()
    images_per_step(cfg, world_size)
    _check_same_vocabulary(cfg.DATASETS.TRAIN)
    samples = SAMPLES[samples_of(cfg)]
    records = samples.records(cfg, cfg.DATASETS.TRAIN, True)
    mapper = mapper or samples.mapper(cfg, cfg.DATASETS.TRAIN[0], True)  # the other sets have the same labels
    stream = TrainingStream(records, mapper, max(cfg.SEED, 0) if seed is None else seed)
    start = (start_iteration or 0) * cfg.SOLVER.IMS_PER_BATCH if start_image is None else start_image
    return build_detection_train_loader(
        stream,
        mapper=None,
        sampler=PositionSampler(start, comm.get_rank(), world_size),
        total_batch_size=cfg.SOLVER.IMS_PER_BATCH // cfg.SOLVER.ACCUMULATION_STEPS,
        aspect_ratio_grouping=False,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )


def build_test_loader(
    cfg: CfgNode,
    name: str,
    mapper: Callable[[Record], Record | None] | None = None,
    share: slice = slice(None),
) -> DataLoader:
    """The loader of this process's share of a data set, in order, TEST.IMS_PER_BATCH images at a time.

    Args:
        cfg: the configuration.
        name: registered name.
        mapper: maps a record; None: that of the samples of the system, :class:`SemSegMapper` for images. A record for
            which it returns None is left out of its batch.
        share: the records that are taken, of all of the data set.

    Raises:
        UsageError: the data set is missing.
    """
    samples = SAMPLES[samples_of(cfg)]
    return build_detection_test_loader(
        samples.records(cfg, [name], False)[share],
        mapper=_Listed(mapper or samples.mapper(cfg, name, False)),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        batch_size=cfg.TEST.IMS_PER_BATCH,
        collate_fn=_joined,
    )


class _Listed:
    """A mapper that returns a list of one record, or an empty list: Detectron2 would replace None by another image."""

    def __init__(self, mapper: Callable[[Record], Record | None]):
        self.mapper = mapper

    def __call__(self, record: Record) -> list[Record]:
        mapped = self.mapper(record)
        return [] if mapped is None else [mapped]


def _joined(lists: list[list[Record]]) -> list[Record]:
    return list(itertools.chain.from_iterable(lists))


def _check_same_vocabulary(names: Sequence[str]) -> None:
    if not names:
        raise UsageError("DATASETS.TRAIN is empty; name a registered data set.")
    first, *others = [
        (metadata.stuff_classes, metadata.ignore_label, metadata.get("label_map"), *_drawing_of(metadata))
        for metadata in map(MetadataCatalog.get, names)
    ]
    for name, other in zip(names[1:], others, strict=True):
        if other != first:
            raise UsageError(
                f"DATASETS.TRAIN names {names[0]} and {name}, whose classes, ignore labels, label maps, colors or "
                "exif differ; train on sets that share them."
            )


def _drawing_of(metadata: Any) -> tuple[Any, bool]:
    """The colours of a set's labels, and whether the labels are drawn before EXIF turns the images."""
    keys = metadata.get("label_keys")
    return (keys.colors, keys.exif == "stored") if keys else (None, False)


@contextmanager
def _seeded(*key: int) -> Iterator[None]:
    """Seed the global generators of Python and numpy within the context, and restore their states after it."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    words = np.random.SeedSequence(key).generate_state(4)
    random.seed(words.tobytes())
    np.random.seed(words)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
