"""The zip archive that torch.save writes, checked before torch opens it."""

import logging
import struct
import zipfile
from typing import BinaryIO

from .errors import NotWeights

__all__ = ["open_archive"]

MOST_DIRECTORY = 32 << 20  # bytes of the directory: some 300,000 members
MOST_INDEX = 64 << 20  # bytes of data.pkl
END, LOCATOR, END64 = b"PK\5\6", b"PK\6\7", b"PK\6\6"
AGAIN = "get or write the file again"

logger = logging.getLogger(__name__)


def open_archive(file: BinaryIO, size: int, path: str) -> tuple[zipfile.ZipFile, str]:
    """Open the archive; return it and the name of the folder in it. The members' checksums are not checked here.

    Raises:
        NotWeights: it is cut off, not one that torch.save writes, or larger unpacked than the file.
    """
    _check_directory(file, size)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise NotWeights(f"is a damaged zip archive ({error}); {AGAIN}") from error
    members = archive.infolist()
    names = {member.filename for member in members}
    indices = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
    root = indices[0].removesuffix("data.pkl") if len(indices) == 1 else ""
    if f"{root}constants.pkl" in names or any(name.startswith(f"{root}code/") for name in names):
        raise NotWeights(
            "is a TorchScript program, not weights; save its weights, in Python: "
            f"torch.save(torch.jit.load({path!r}, 'cpu').state_dict(), 'weights.pth')"
        )
    if not root:
        raise NotWeights(_foreign(sorted(names)))
    if len(names) < len(members) or not all(name.startswith(root) for name in names):
        raise NotWeights(f"is a zip archive with members that torch.save does not write; {AGAIN}")
    if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
        raise NotWeights(
            "is a zip archive whose members are compressed, which torch.save does not do; unpack it, and pack it "
            "without compression (zip -0)"
        )
    if any(member.file_size != member.compress_size for member in members) or (
        sum(member.file_size for member in members) > size
    ):
        raise NotWeights(f"is a zip archive that claims to hold more bytes than it has; {AGAIN}")
    if archive.getinfo(f"{root}data.pkl").file_size > MOST_INDEX:
        raise NotWeights(
            f"has a table of contents (data.pkl) of more than {MOST_INDEX >> 20} MB, beside the tensors; save the "
            "state dict alone, with torch.save"
        )
    return archive, root


def damaged_members(archive: zipfile.ZipFile, path: str) -> list[str]:
    """The names of members whose bytes do not have the checksum (CRC-32) that was written with them."""
    members = archive.infolist()
    if not any(member.CRC for member in members):
        logger.warning("%s was written without checksums, so that damaged values would go unnoticed.", path)
        for member in members:
            member.CRC = None  # zipfile then compares nothing
        return []
    damaged = []
    for member in members:
        try:
            with archive.open(member) as stream:
                while stream.read(1 << 20):
                    pass
        except (zipfile.BadZipFile, EOFError, OSError):
            damaged.append(member.filename)
    return damaged


def _check_directory(file: BinaryIO, size: int) -> None:
    """Refuse an archive whose directory is huge, or is missing, as in a file that is cut off."""
    file.seek(max(0, size - 42))
    tail = file.read(42)
    end = tail[-22:]
    if end[:4] != END:
        raise NotWeights(f"is a zip archive that is cut off, or has something after its end, at {size} bytes; {AGAIN}")
    length = struct.unpack("<I", end[12:16])[0]
    if tail[:4] == LOCATOR and len(tail) == 42:
        file.seek(min(struct.unpack("<Q", tail[8:16])[0], size))
        record = file.read(56)
        if record[:4] != END64 or len(record) < 56:
            raise NotWeights(f"is a damaged zip archive; {AGAIN}")
        length = max(struct.unpack("<Q", record[40:48])[0], length if length < 0xFFFFFFFF else 0)
    if length > min(MOST_DIRECTORY, size):
        raise NotWeights(f"is a zip archive with a directory of {length} bytes, too large for a checkpoint; {AGAIN}")


def _foreign(names: list[str]) -> str:
    """What a zip archive is that torch.save did not write, and the remedy."""
    weights = [name for name in names if name.endswith((".pth", ".pt", ".ckpt", ".bin", ".safetensors"))]
    if weights:
        return f"is a zip archive that holds {weights[0]!r}; unpack it, and give that file"
    if any(name.endswith(".npy") for name in names):
        return "is an archive of numpy arrays (.npz); save them as tensors with torch.save"
    some = ", ".join(repr(name[:60]) for name in names[:3])
    return f"is a zip archive, of {some or 'nothing'}, and no checkpoint; give the file of the weights"
