"""Records of data sets, and loaders of them."""

from collections.abc import Callable, Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler

from ..utils import comm
from .catalog import DatasetCatalog
from .samplers import InferenceSampler


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
    """A function over records."""

    def __init__(self, records: Sequence | Dataset, mapper: Callable[[Any], Any] | None) -> None:
        self._records = records
        self._mapper = mapper or (lambda record: record)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Any:
        return self._mapper(self._records[index])


def build_detection_train_loader(
    dataset: Sequence | Dataset,
    *,
    mapper: Callable[[Any], Any] | None,
    sampler: Sampler,
    total_batch_size: int,
    aspect_ratio_grouping: bool,
    num_workers: int = 0,
) -> DataLoader:
    """A loader of this process's share of each batch, as a list.

    Args:
        dataset: records, or a data set of them.
        mapper: from a record to an item; None: records as they are.
        sampler: yields indices, without end, and this process's alone.
        total_batch_size: items of a batch over all processes; a multiple of their number.
        aspect_ratio_grouping: must be False: batches of like aspect are Detectron2's alone.
        num_workers: worker processes of this process; the order of items does not depend on it.
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
        _Mapped(dataset, mapper),
        batch_size=total_batch_size // world_size,
        sampler=sampler,
        drop_last=True,
        num_workers=num_workers,
        collate_fn=_as_list,
    )


def build_detection_test_loader(
    dataset: Sequence | Dataset, *, mapper: Callable[[Any], Any] | None, batch_size: int = 1, num_workers: int = 0
) -> DataLoader:
    """A loader of this process's share of the records, each once, in lists of ``batch_size``.

    Args:
        dataset: records, or a data set of them.
        mapper: from a record to an item; None: records as they are.
        batch_size: of this process.
        num_workers: of this process.
    """
    sampler = InferenceSampler(len(dataset))
    return DataLoader(
        _Mapped(dataset, mapper), batch_size, sampler=sampler, num_workers=num_workers, collate_fn=_as_list
    )


def _as_list(batch: list[Any]) -> list[Any]:
    return batch
