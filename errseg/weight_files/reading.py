"""Read a file of weights. Its format, its completeness and its objects are checked before torch opens it."""

import io
import mmap
import os
import pickle
import struct
from typing import Any, BinaryIO

import torch
from safetensors.torch import load_file

from errseg.errors import UsageError
from errseg.pickled import Refused, trace
from errseg.safe_files import open_regular

from .archive import AGAIN, damaged_members, open_archive
from .contents import check_contents, place_of, storages_of
from .errors import NotWeights
from .impostors import HEAD_BYTES, PICKLE, impostor

__all__ = ["read_weight_file"]

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a torch file that is no zip archive
MOST_HEADER = 32 << 20  # bytes of a safetensors file's header


def read_weight_file(path: str) -> Any:
    """The content of a file of weights: tensors and plain values in dictionaries and lists, on the CPU.

    The format (torch.save's, old or new, or safetensors) is recognised by the file's bytes, not by its name. Checksums
    are compared where the format has them: torch.save's zip archives do, safetensors does not. Memory and time are
    bounded by the file's size.

    Raises:
        UsageError: the file does not exist or cannot be read, is no file of weights, is damaged, or holds objects other
            than tensors and plain values. The message names what was found.
    """
    with os.fdopen(open_regular(path, "checkpoint"), "rb") as file:
        try:
            size = os.fstat(file.fileno()).st_size
            return _read(file, size, path)
        except NotWeights as error:
            raise NotWeights(f"{path} {error}.") from error
        except Refused as error:
            raise NotWeights(f"{path} {error}; {AGAIN}.") from error
        except UsageError:
            raise
        except OSError as error:
            raise NotWeights(f"{path} cannot be read ({error.strerror or error}); {AGAIN}.") from error
        except MemoryError as error:
            raise NotWeights(f"{path} needs more memory than there is; free some.") from error
        except Exception as error:  # whatever a damaged or foreign file makes torch or safetensors raise
            raise NotWeights(f"{path} {_failure(error, path)}.") from error


def _failure(error: Exception, path: str) -> str:
    """The message for a file that torch or safetensors failed to read."""
    reason = " ".join(str(error).split())
    if "Unsupported operand" in reason:
        return (
            "was saved with another pickle protocol than torch.save's own, and only that one can be read as data; if "
            "you trust its source, save it again, in Python: "
            f"torch.save(torch.load({path!r}, weights_only=False), 'weights.pth')"
        )
    if isinstance(error, pickle.UnpicklingError):  # torch's own message advises to trust the file
        reason = "it holds other objects than tensors and plain values"
    return f"is not a whole checkpoint of tensors ({reason[:200].rstrip('.')}); {AGAIN}"


def _read(file: BinaryIO, size: int, path: str) -> Any:
    head = file.read(HEAD_BYTES)
    if head.startswith(b"PK"):
        _check_archive(file, size, path)
    elif head[6:9] == b"\0\0{":  # the length of a header in JSON, in 8 bytes
        length = struct.unpack("<Q", head[:8])[0]
        if length > min(MOST_HEADER, size - 8):
            raise NotWeights(f"is a safetensors file with a header of {length} bytes, of {size} bytes in all; {AGAIN}")
        return load_file(path)
    elif found := impostor(head, size):
        raise NotWeights(f"is {found[0]}, not a checkpoint; {found[1]}")
    elif head[:1] == b"\x80" and head[1:2] <= b"\x05":  # a pickle's protocol
        _check_legacy(file, size, path)
    else:
        raise NotWeights("is no kind of file that holds weights; give a file of torch.save or safetensors")
    return torch.load(path, map_location="cpu", weights_only=True)


def _check_archive(file: BinaryIO, size: int, path: str) -> None:
    """Check a zip archive of torch.save: checksums, objects, and the sizes of all tensors' storages."""
    archive, root = open_archive(file, size, path)
    damaged = damaged_members(archive, path)
    if f"{root}data.pkl" in damaged:
        raise NotWeights(f"is damaged: its table of contents differs from what was written; {AGAIN}")
    tree = trace(io.BytesIO(archive.read(f"{root}data.pkl")))
    check_contents(tree, path)
    storages = storages_of(tree)
    for member in damaged:
        where = storages.get(member.removeprefix(f"{root}data/"), (0, ("the record " + member,)))[1]
        raise NotWeights(
            f"is damaged: the values {place_of(where)} differ from those that were written (checksum); {AGAIN}"
        )
    sizes = {member.filename: member.file_size for member in archive.infolist()}
    for key, (length, where) in storages.items():
        there = sizes.get(f"{root}data/{key}")
        if there != length:
            part = f"{there or 0} of the {length} bytes of the values {place_of(where)}"
            raise NotWeights(f"is damaged: it has {part}; {AGAIN}")


def _check_legacy(file: BinaryIO, size: int, path: str) -> None:
    """Check a file of torch.save from before the zip archives: pickles, then the storages."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        if trace(view) != LEGACY_MAGIC:
            raise NotWeights(
                f"is {PICKLE}, as Detectron2's model zoo has (*.pkl), and a pickle can "
                "run code; if you trust its source, write the weights alone, in Python: c = pickle.load("
                f"open({path!r}, 'rb'), encoding='latin1'); torch.save({{k: torch.as_tensor(v) for k, v in "
                "c.get('model', c).items()}, 'weights.pth')"
            )
        trace(view), trace(view)  # the version and the machine
        tree = trace(view)
        check_contents(tree, path)
        storages, keys = storages_of(tree), trace(view)
        if not isinstance(keys, list) or set(keys) != storages.keys():
            raise NotWeights(f"is damaged: its list of values is not complete; {AGAIN}")
        for key in keys:
            length, where = storages[key]
            start = view.tell() + 8
            if start + length > size:
                raise NotWeights(f"is cut off within the values {place_of(where)}; {AGAIN}")
            view.seek(start + length)
