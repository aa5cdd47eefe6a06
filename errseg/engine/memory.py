"""Memory of training on the CPU."""

import ctypes
import sys

__all__ = ["keep_freed_memory"]

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # parameters of glibc's mallopt


def keep_freed_memory() -> bool:
    """Let this process keep the memory of freed tensors for the next ones.

    By default, glibc gives large blocks back to the system at once, and gets new ones, whose pages the system fills
    with zeros. A training step allocates the same large tensors as the step before, so this work is lost each time.

    Returns:
        Whether the C library has these settings.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))
