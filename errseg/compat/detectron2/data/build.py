"""Data loaders from a configuration, or from their parts."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ..config import CfgNode, configurable
from ..utils import comm
from ..utils.env import seed_all_rng
from .catalog import DatasetCatalog
from .common import AspectRatioGroupedDataset, DatasetFromList, MapDataset
from .dataset_mapper import DatasetMapper
from .samplers import InferenceSampler, TrainingSampler

__all__ = [
    "build_batch_data_loader", "build_detection_train_loader", "build_detection_test_loader",
    "get_detection_dataset_dicts",
]


def get_detection_dataset_dicts(names: str | Sequence[str], filter_empty: bool = True) -> list[dict[str, Any]]:
    """Records of registered data sets, one set after the other.

    Args:
        names: one, or several.
        filter_empty: leave out records whose ``annotations``, of objects, are empty. Records without such a key stay.
    """
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise AssertionError("No data set is named: set DATASETS.TRAIN or DATASETS.TEST.")
    records_by_name = {name: DatasetCatalog.get(name) for name in names}
    for name, records in records_by_name.items():
        if not len(records):
            raise AssertionError(f"Dataset '{name}' is empty!")
    records = list(itertools.chain.from_iterable(records_by_name[name] for name in names))
    if filter_empty and "annotations" in records[0]:
        records = [r for r in records if any(not a.get("iscrowd", 0) for a in r["annotations"])]
        if not records:
            raise AssertionError(f"No record of {', '.join(names)} has annotations.")
    return records


def build_batch_data_loader(
    dataset: Dataset,
    sampler: Sampler,
    total_batch_size: int,
    *,
    aspect_ratio_grouping: bool = False,
    num_workers: int = 0,
    collate_fn: Callable[[list], Any] | None = None,
    drop_last: bool = True,
    seed: int | None = None,
    **kwargs: Any,
) -> Iterable[list[Any]]:
    """A loader of this process's share of each batch.

    Args:
        dataset: with ``__getitem__``.
        sampler: yields indices, without end for training.
        total_batch_size: items of a batch over all processes; a multiple of their number.
        aspect_ratio_grouping: batches of portraits or of landscapes (see ``AspectRatioGroupedDataset``).
        num_workers: worker processes of this process; the order of items does not depend on it.
        collate_fn: of a batch; None: a list.
        drop_last: leave out a last batch that is not full.
        seed: of the workers' random numbers; None: drawn from torch.
        kwargs: to ``torch.utils.data.DataLoader``.
    """
    world_size = comm.get_world_size()
    if total_batch_size <= 0 or total_batch_size % world_size:
        raise AssertionError(
            f"Total batch size ({total_batch_size}) must be a positive multiple of the number of processes "
            f"({world_size}): change SOLVER.IMS_PER_BATCH."
        )
    batch_size = total_batch_size // world_size
    generator = None
    if seed is not None:
        generator = torch.Generator()
        generator.manual_seed(seed)
    kwargs.update(num_workers=num_workers, worker_init_fn=worker_init_reset_seed, generator=generator)
    if aspect_ratio_grouping:
        single = DataLoader(dataset, sampler=sampler, batch_size=None, collate_fn=_same, **kwargs)
        batches = AspectRatioGroupedDataset(single, batch_size)
        return batches if collate_fn is None else DataLoader(batches, batch_size=None, collate_fn=collate_fn)
    return DataLoader(
        dataset,
        sampler=sampler,
        batch_size=batch_size,
        drop_last=drop_last,
        collate_fn=trivial_batch_collator if collate_fn is None else collate_fn,
        **kwargs,
    )


def _train_loader_from_config(
    cfg: CfgNode,
    mapper: Callable | None = None,
    *,
    dataset: Sequence | Dataset | None = None,
    sampler: Sampler | None = None,
) -> dict[str, Any]:
    if dataset is None:
        dataset = get_detection_dataset_dicts(cfg.DATASETS.TRAIN, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS)
    if sampler is None:
        if cfg.DATALOADER.SAMPLER_TRAIN != "TrainingSampler":
            raise ValueError(f"DATALOADER.SAMPLER_TRAIN is {cfg.DATALOADER.SAMPLER_TRAIN}: use TrainingSampler.")
        sampler = TrainingSampler(len(dataset))
    return {
        "dataset": dataset,
        "sampler": sampler,
        "mapper": DatasetMapper(cfg, True) if mapper is None else mapper,
        "total_batch_size": cfg.SOLVER.IMS_PER_BATCH,
        "aspect_ratio_grouping": cfg.DATALOADER.ASPECT_RATIO_GROUPING,
        "num_workers": cfg.DATALOADER.NUM_WORKERS,
    }


@configurable(from_config=_train_loader_from_config)
def build_detection_train_loader(
    dataset: Sequence | Dataset,
    *,
    mapper: Callable[[Any], Any] | None,
    sampler: Sampler | None = None,
    total_batch_size: int,
    aspect_ratio_grouping: bool = True,
    num_workers: int = 0,
    collate_fn: Callable[[list], Any] | None = None,
    **kwargs: Any,
) -> Iterable[list[Any]]:
    """An endless loader of mapped records; ``build_detection_train_loader(cfg, mapper=…)`` takes the rest from ``cfg``.

    Args:
        dataset: records, or a data set of them.
        mapper: from a record to an item; None: records as they are.
        sampler: yields indices; None: a ``TrainingSampler``.
        total_batch_size: see ``build_batch_data_loader``, as for the other arguments.
        aspect_ratio_grouping: needs items with ``width`` and ``height``.
        num_workers: of this process.
        collate_fn: of a batch; None: a list.
        kwargs: to ``build_batch_data_loader``.
    """
    dataset = _mapped(dataset, mapper)
    return build_batch_data_loader(
        dataset,
        TrainingSampler(len(dataset)) if sampler is None else sampler,
        total_batch_size,
        aspect_ratio_grouping=aspect_ratio_grouping,
        num_workers=num_workers,
        collate_fn=collate_fn,
        **kwargs,
    )


def _test_loader_from_config(
    cfg: CfgNode, dataset_name: str | Sequence[str], mapper: Callable | None = None
) -> dict[str, Any]:
    dataset = get_detection_dataset_dicts(dataset_name, filter_empty=False)
    return {
        "dataset": dataset,
        "mapper": DatasetMapper(cfg, False) if mapper is None else mapper,
        "sampler": InferenceSampler(len(dataset)),
        "num_workers": cfg.DATALOADER.NUM_WORKERS,
    }


@configurable(from_config=_test_loader_from_config)
def build_detection_test_loader(
    dataset: Sequence | Dataset,
    *,
    mapper: Callable[[Any], Any] | None,
    sampler: Sampler | None = None,
    batch_size: int = 1,
    num_workers: int = 0,
    collate_fn: Callable[[list], Any] | None = None,
) -> DataLoader:
    """A loader of each record once; ``build_detection_test_loader(cfg, name, mapper=…)`` takes the rest from ``cfg``.

    Args:
        dataset: records, or a data set of them.
        mapper: from a record to an item; None: records as they are.
        sampler: yields indices; None: an ``InferenceSampler``, which shares records between processes.
        batch_size: of this process.
        num_workers: of this process.
        collate_fn: of a batch; None: a list.
    """
    dataset = _mapped(dataset, mapper)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=InferenceSampler(len(dataset)) if sampler is None else sampler,
        drop_last=False,
        num_workers=num_workers,
        collate_fn=trivial_batch_collator if collate_fn is None else collate_fn,
    )


def _mapped(dataset: Sequence | Dataset, mapper: Callable[[Any], Any] | None) -> Dataset:
    if not isinstance(dataset, Dataset):
        dataset = DatasetFromList(dataset, copy=False)
    return dataset if mapper is None else MapDataset(dataset, mapper)


def trivial_batch_collator(batch: list[Any]) -> list[Any]:
    """A batch is a list."""
    return batch


def _same(item: Any) -> Any:
    return item


def worker_init_reset_seed(worker_id: int) -> None:
    """Seed every random number generator of a worker differently."""
    seed_all_rng(torch.initial_seed() % 2**31 + worker_id)
