"""The place where ``count_macs`` was before it moved into the benchmark."""

from .benchmark.macs import count_macs

__all__ = ["count_macs"]
