"""Memory of a model on the CPU: the process keeps what freed tensors held, for the next ones."""

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

__all__ = ["kept_memory", "memory_for"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # parameters of glibc's mallopt
MIB = 1 << 20

_lock = threading.Lock()
_inside = 0  # contexts that are open, in all threads


@contextmanager
def kept_memory() -> Iterator[bool]:
    """Let this process keep the memory of freed tensors for the next ones; at the end of the context, give it back.

    By default, glibc gives large blocks back to the system at once, and gets new ones, whose pages the system fills
    with zeros. A picture or a training step allocates tensors of the same sizes again and again, so this work is lost
    each time. Contexts may be nested, and open in several threads; the memory is given back at the end of the last one.

    Yields:
        Whether the C library has these settings.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield False
        return
    has_settings = _enter(library)
    try:
        yield has_settings
    finally:
        _leave(library)


def memory_for(device: str) -> AbstractContextManager:
    """``kept_memory`` for a model on the CPU; nothing for another device, whose memory PyTorch keeps itself.

    Args:
        device: the type of a device, such as "cpu".
    """
    return kept_memory() if device == "cpu" else nullcontext()


def _enter(library: ctypes.CDLL) -> bool:
    global _inside
    with _lock:
        _inside += 1
        return bool(library.mallopt(M_MMAP_MAX, 0)) and bool(library.mallopt(M_TRIM_THRESHOLD, -1))


def _leave(library: ctypes.CDLL) -> None:
    global _inside
    with _lock:
        _inside -= 1
        if _inside:
            return
        library.mallopt(M_MMAP_MAX, 65536)  # glibc's default
        library.mallopt(M_MMAP_THRESHOLD, 32 * MIB)  # where glibc's own adjustment ends after freeing large blocks
        library.mallopt(M_TRIM_THRESHOLD, 64 * MIB)
        library.malloc_trim(0)
