"""Records of data sets, and loaders of them."""

import functools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler

from ..outside import outside
from ..utils import comm
from .catalog import DatasetCatalog
from .samplers import InferenceSampler

__getattr__ = outside(globals())


def get_detection_dataset_dicts(names: str | Sequence[str], filter_empty: bool = True) -> list[dict[str, Any]]:
    """Records of registered data sets, one set after the other.

    Args:
        names: one, or several.
        filter_empty: leave out records whose ``annotations``, of objects, are empty. Records without such a key stay.
    """
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise AssertionError("No data set is named: set DATASETS.TRAIN or DATASETS.TEST.")
    records = []
    for name in names:
        of_name = DatasetCatalog.get(name)
        if not len(of_name):
            raise AssertionError(f"Dataset '{name}' is empty!")
        records += of_name
    if filter_empty:
        records = [r for r in records if any(not a.get("iscrowd", 0) for a in r.get("annotations", [{}]))]
    return records


class _Mapped(Dataset):
    """Applies a function to records.

    Args:
        records: of any kind.
        mapper: None: records as they are.
        replace: take another record, drawn at random, if the mapper returns None.
    """

    def __init__(self, records: Sequence | Dataset, mapper: Callable[[Any], Any] | None, replace: bool = False) -> None:
        self._records = records
        self._mapper = mapper or (lambda record: record)
        self._replace = replace
        self._random = random.Random(42)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Any:
        item = self._mapper(self._records[index])
        if item is None and self._replace:
            others = self._random.sample(range(len(self)), len(self))
            item = next((x for x in (self._mapper(self._records[i]) for i in others) if x is not None), None)
            if item is None:
                raise ValueError("The mapper returns None for each record: let it return some of them.")
        return item


class _TestLoader(DataLoader):
    """Skips batches for whose records the mapper has returned None."""

    def __iter__(self) -> Iterator[Any]:
        return (batch for batch in super().__iter__() if not (isinstance(batch, list) and not batch))


def build_detection_train_loader(
    dataset: Sequence | Dataset,
    *,
    mapper: Callable[[Any], Any] | None,
    sampler: Sampler,
    total_batch_size: int,
    aspect_ratio_grouping: bool,
    num_workers: int = 0,
    collate_fn: Callable[[list[Any]], Any] | None = None,
) -> DataLoader:
    """A loader of this process's share of each batch, as a list.

    Args:
        dataset: records, or a data set of them.
        mapper: turns a record into an item; if it returns None, another record is taken. None: records as they are.
        sampler: yields the indices of this process, without end.
        total_batch_size: items of a batch over all processes; a multiple of their number.
        aspect_ratio_grouping: must be False: only Detectron2 groups images of like aspect ratio.
        num_workers: worker processes of this process; the order of items does not depend on it.
        collate_fn: makes a batch of a list of items. None: the list is the batch.
    """
    if aspect_ratio_grouping:
        raise ValueError("Grouping by aspect ratio needs Detectron2 itself: pass aspect_ratio_grouping=False.")
    world_size = comm.get_world_size()
    if total_batch_size <= 0 or total_batch_size % world_size:
        raise AssertionError(
            f"Total batch size ({total_batch_size}) must be a positive multiple of the number of processes "
            f"({world_size}): change SOLVER.IMS_PER_BATCH."
        )
    return DataLoader(
        _Mapped(dataset, mapper, replace=True),
        batch_size=total_batch_size // world_size,
        sampler=sampler,
        drop_last=True,
        num_workers=num_workers,
        collate_fn=collate_fn or _as_list,
    )


def build_detection_test_loader(
    dataset: Sequence | Dataset,
    *,
    mapper: Callable[[Any], Any] | None,
    batch_size: int = 1,
    num_workers: int = 0,
    collate_fn: Callable[[list[Any]], Any] | None = None,
) -> DataLoader:
    """A loader of this process's share of the records, each once, in lists of ``batch_size``.

    Args:
        dataset: records, or a data set of them.
        mapper: turns a record into an item; if it returns None, the record is skipped. None: records as they are.
        batch_size: of this process.
        num_workers: of this process.
        collate_fn: makes a batch of a list of items. None: the list is the batch.
    """
    return _TestLoader(
        _Mapped(dataset, mapper),
        batch_size,
        sampler=InferenceSampler(len(dataset)),
        num_workers=num_workers,
        collate_fn=functools.partial(_without_none, collate_fn or _as_list),
    )


def _as_list(batch: list[Any]) -> list[Any]:
    return batch


def _without_none(collate_fn: Callable[[list[Any]], Any], batch: list[Any]) -> Any:
    kept = [item for item in batch if item is not None]
    return collate_fn(kept) if kept else []
