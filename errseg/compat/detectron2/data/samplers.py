"""The sampler that divides a data set among processes."""

from collections.abc import Iterator

from torch.utils.data import Sampler

from ..outside import outside
from ..utils import comm

__getattr__ = outside(globals())

__all__ = ["InferenceSampler"]


class InferenceSampler(Sampler):
    """Each of ``size`` items once. Process r gets the r-th contiguous share; sizes of shares differ by at most one."""

    def __init__(self, size: int) -> None:
        share, left = divmod(size, comm.get_world_size())
        rank = comm.get_rank()
        start = share * rank + min(rank, left)
        self._indices = range(start, start + share + (rank < left))

    def __iter__(self) -> Iterator[int]:
        yield from self._indices

    def __len__(self) -> int:
        return len(self._indices)
