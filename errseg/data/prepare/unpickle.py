"""Reading a published pickle as data: lists, dictionaries, numbers, strings and numpy arrays, and nothing that acts."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from errseg.errors import UsageError, short

__all__ = ["load_index"]


def _to_bytes(text: str, encoding: str) -> bytes:
    """What the second protocol writes bytes as."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes encoded as {encoding!r}")
    return text.encode("latin1")


def _allowed() -> dict[tuple[str, str], Any]:
    """What a pickle may name, by its module and its own name; numpy 2 calls ``numpy.core`` ``numpy._core``."""
    reconstruct, arguments = np.zeros(0).__reduce__()[:2]
    scalar = np.float64(0).__reduce__()[0]
    from_buffer = np.zeros(1).__reduce_ex__(5)[0]
    names = {("_codecs", "encode"): _to_bytes, ("numpy", "ndarray"): arguments[0], ("numpy", "dtype"): np.dtype}
    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray", "_reconstruct"] = reconstruct
        names[f"{core}.multiarray", "scalar"] = scalar
        names[f"{core}.numeric", "_frombuffer"] = from_buffer
    for module in ("builtins", "__builtin__"):
        names |= {(module, kind.__name__): kind for kind in (set, frozenset, bytearray, complex)}
    return names


class _DataUnpickler(pickle.Unpickler):
    allowed = _allowed()

    def __init__(self, file: Any, path: Path, remedy: str):
        super().__init__(file, encoding="latin1")  # of strings that Python 2 wrote
        self.path = path
        self.remedy = remedy

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.allowed[module, name]
        except KeyError:
            raise UsageError(
                f"The index {self.path} asks for {module}.{name}, which is not data and is not run; {self.remedy}."
            ) from None


def load_index(path: Path, remedy: str) -> dict[str, Any]:
    """Read a pickled dictionary.

    Raises:
        UsageError: it names anything but containers and arrays, is damaged, or is no dictionary.
    """
    try:
        with path.open("rb") as file:
            index = _DataUnpickler(file, path, remedy).load()
    except UsageError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        reason = f"{type(error).__name__}: {short(error, 300)}"
        raise UsageError(f"The index {path} cannot be read ({reason}); {remedy}.") from error
    if not isinstance(index, dict):
        raise UsageError(f"The index {path} holds a {type(index).__name__} in place of a dictionary; {remedy}.")
    return index
