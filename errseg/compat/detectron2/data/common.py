"""Data sets made of a list of records and a function, and batches of images of like aspect."""

import copy
import logging
import pickle
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch

__all__ = ["AspectRatioGroupedDataset", "DatasetFromList", "MapDataset"]


class DatasetFromList(torch.utils.data.Dataset):
    """A list as a data set.

    Args:
        lst: of records.
        copy: hand out deep copies, so that a mapper may change them.
        serialize: keep the records pickled in one array: worker processes then share its memory, where they would copy
            a list of objects page by page as they count references.
    """

    def __init__(self, lst: list, copy: bool = True, serialize: bool = True) -> None:
        self._copy = copy
        self._serialize = serialize
        if serialize:
            pickled = [np.frombuffer(pickle.dumps(item, protocol=-1), dtype=np.uint8) for item in lst]
            self._ends = np.cumsum([len(item) for item in pickled], dtype=np.int64)
            self._bytes = np.concatenate(pickled) if pickled else np.zeros(0, np.uint8)
        else:
            self._list = lst

    def __len__(self) -> int:
        return len(self._ends if self._serialize else self._list)

    def __getitem__(self, idx: int) -> Any:
        if self._serialize:
            start = self._ends[idx - 1] if idx > 0 else 0
            return pickle.loads(memoryview(self._bytes[start : self._ends[idx]]))
        return copy.deepcopy(self._list[idx]) if self._copy else self._list[idx]


class MapDataset(torch.utils.data.Dataset):
    """A function over a data set.

    Args:
        dataset: with ``__len__`` and ``__getitem__``.
        map_func: where it returns None, another item is tried.
    """

    def __init__(self, dataset: torch.utils.data.Dataset, map_func: Callable[[Any], Any]) -> None:
        self._dataset = dataset
        self._map_func = map_func
        self._rng = random.Random(42)
        self._candidates = set(range(len(dataset)))

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, idx: int) -> Any:
        idx = int(idx)
        for attempt in range(1, len(self) + 1):
            data = self._map_func(self._dataset[idx])
            if data is not None:
                self._candidates.add(idx)
                return data
            self._candidates.discard(idx)
            if attempt == 3:
                logging.getLogger(__name__).warning(f"The mapper has returned None three times, last for item {idx}.")
            if not self._candidates:
                break
            idx = self._rng.choice(sorted(self._candidates))
        raise RuntimeError("The mapper of the data set returns None for every item: check its filter.")


class AspectRatioGroupedDataset(torch.utils.data.IterableDataset):
    """Batches of portraits or of landscapes, so that padding is little.

    Args:
        dataset: items with ``width`` and ``height``.
        batch_size: of each batch.
    """

    def __init__(self, dataset: Iterable[dict[str, Any]], batch_size: int) -> None:
        self.dataset = dataset
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        buckets: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        for item in self.dataset:
            bucket = buckets[item["width"] > item["height"]]
            bucket.append(item)
            if len(bucket) == self.batch_size:
                yield bucket[:]
                bucket.clear()
