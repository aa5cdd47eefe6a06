"""Samplers that share a data set between processes."""

import itertools
from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from ..utils import comm

__all__ = ["InferenceSampler", "TrainingSampler"]


class TrainingSampler(Sampler):
    """An endless stream of permutations of the data set; process r of n takes items r, r + n, r + 2n, …

    Args:
        size: of the data set.
        shuffle: permute at each pass.
        seed: of the permutations; None: one drawn and shared between processes.
    """

    def __init__(self, size: int, shuffle: bool = True, seed: int | None = None) -> None:
        if not isinstance(size, int):
            raise TypeError(f"TrainingSampler(size=) expects an int. Got type {type(size)}.")
        if size <= 0:
            raise ValueError(f"TrainingSampler(size=) expects a positive int. Got {size}.")
        self._size = size
        self._shuffle = shuffle
        self._seed = int(comm.shared_random_seed() if seed is None else seed)
        self._rank = comm.get_rank()
        self._world_size = comm.get_world_size()

    def __iter__(self) -> Iterator[int]:
        yield from itertools.islice(self._stream(), self._rank, None, self._world_size)

    def _stream(self) -> Iterator[int]:
        generator = torch.Generator()
        generator.manual_seed(self._seed)
        while True:
            order = torch.randperm(self._size, generator=generator) if self._shuffle else torch.arange(self._size)
            yield from order.tolist()


class InferenceSampler(Sampler):
    """Each item once: process r takes the r-th of contiguous shares, whose sizes differ by one at most.

    Args:
        size: of the data set.
    """

    def __init__(self, size: int) -> None:
        if size <= 0:
            raise AssertionError(f"InferenceSampler needs a data set that is not empty, got size {size}.")
        share, left = divmod(size, comm.get_world_size())
        rank = comm.get_rank()
        start = share * rank + min(rank, left)
        self._indices = range(start, start + share + (rank < left))

    def __iter__(self) -> Iterator[int]:
        yield from self._indices

    def __len__(self) -> int:
        return len(self._indices)
