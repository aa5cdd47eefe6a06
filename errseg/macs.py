"""The old import path of ``count_macs``, which has moved into the benchmark."""

from .benchmark.macs import count_macs

__all__ = ["count_macs"]
