"""Read a published pickle as data: lists, dictionaries, numbers, strings and numpy arrays. No code is run."""

import mmap
import os
import pickle
from typing import Any

import numpy as np

from .errors import UsageError, short
from .pickled import Refused, trace
from .safe_files import open_regular

__all__ = ["unpickle"]


ARRAY = object()  # stands for numpy.ndarray, which a pickle may name but not call
SCALAR = np.float64(0).__reduce__()[0]
MOST_INSTRUCTIONS = 2_000_000  # two for a string in a list; the published index has about ten lists of 27,574 images


def _to_bytes(text: str, encoding: str) -> bytes:
    """Bytes, from the form in which the second protocol writes them."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes encoded as {encoding!r}")
    return text.encode("latin1")


def _empty_array(kind: Any, shape: tuple[int, ...], letter: Any) -> np.ndarray:
    """The array without values that a pickle makes first; the array's state follows and holds the values."""
    if kind is not ARRAY or shape != (0,):
        raise ValueError(f"an array of the shape {shape} without values")
    return np.empty(0, np.int8)


def _scalar(dtype: np.dtype, values: bytes) -> np.generic:
    return SCALAR(dtype, values)  # without values, it is as large as the type says


def _allowed() -> dict[tuple[str, str], Any]:
    """The objects that a pickle may name, by module and name; numpy 2 calls ``numpy.core`` ``numpy._core``."""
    from_buffer = np.zeros(1).__reduce_ex__(5)[0]
    names = {("_codecs", "encode"): _to_bytes, ("numpy", "ndarray"): ARRAY, ("numpy", "dtype"): np.dtype}
    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray", "_reconstruct"] = _empty_array
        names[f"{core}.multiarray", "scalar"] = _scalar
        names[f"{core}.numeric", "_frombuffer"] = from_buffer
    for module in ("builtins", "__builtin__"):
        names |= {(module, kind.__name__): kind for kind in (set, frozenset, bytearray, complex)}
    return names


class _DataUnpickler(pickle.Unpickler):
    allowed = _allowed()

    def __init__(self, file: Any, what: str, remedy: str):
        super().__init__(file, encoding="latin1")  # of strings that Python 2 wrote
        self.what = what
        self.remedy = remedy

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.allowed[module, name]
        except KeyError:
            raise UsageError(
                f"The {self.what} asks for {module}.{name}, which is not data and is not run; {self.remedy}."
            ) from None


def unpickle(path: str | os.PathLike, what: str, remedy: str) -> dict[str, Any]:
    """Read a pickled dictionary.

    Args:
        path: of the file.
        what: what the file is, for messages, such as "index".
        remedy: ends the messages.

    Raises:
        UsageError: it names anything but containers and arrays, is damaged, asks for more memory than its size
            accounts for, or is no dictionary.
    """
    try:
        with os.fdopen(open_regular(path, what), "rb") as file:
            if os.fstat(file.fileno()).st_size:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                    trace(view, MOST_INSTRUCTIONS)  # bounds the memory and time of what follows
            content = _DataUnpickler(file, f"{what} {os.fspath(path)}", remedy).load()
    except UsageError:
        raise
    except Refused as error:
        raise UsageError(f"The {what} {path} cannot be read: it {error}; {remedy}.") from error
    except Exception as error:  # a damaged pickle raises nearly anything
        reason = f"{type(error).__name__}: {short(error, 300)}"
        raise UsageError(f"The {what} {path} cannot be read ({reason}); {remedy}.") from error
    if not isinstance(content, dict):
        raise UsageError(f"The {what} {path} holds a {type(content).__name__} in place of a dictionary; {remedy}.")
    return content
