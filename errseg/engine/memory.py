"""Memory of training on the CPU."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["kept_memory"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # parameters of glibc's mallopt
MIB = 1 << 20


@contextmanager
def kept_memory() -> Iterator[bool]:
    """Let this process keep the memory of freed tensors for the next ones; at the end of the context, give it back.

    By default, glibc gives large blocks back to the system at once, and gets new ones, whose pages the system fills
    with zeros. A training step allocates the same large tensors as the step before, so this work is lost each time.

    Yields:
        Whether the C library has these settings.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield False
        return
    try:
        yield bool(library.mallopt(M_MMAP_MAX, 0)) and bool(library.mallopt(M_TRIM_THRESHOLD, -1))
    finally:
        library.mallopt(M_MMAP_MAX, 65536)  # glibc's default
        library.mallopt(M_MMAP_THRESHOLD, 32 * MIB)  # where glibc's own adjustment ends after freeing large blocks
        library.mallopt(M_TRIM_THRESHOLD, 64 * MIB)
        library.malloc_trim(0)
