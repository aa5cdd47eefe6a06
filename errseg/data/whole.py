"""Check that a file holds all pixels: decoders fill in pixels that a PNG or JPEG file lacks, without an error.

Where the data of a PNG ends early, the remaining rows become 0. Where the data of a JPEG ends early, the last colour is
repeated to the end. Sound files can look like this too, so such a file is checked a second time. Other files cost no
extra time.
"""

import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image

__all__ = ["check_whole"]

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by PNG's colour type
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # Adam7
PIECE = 1 << 20  # bytes that are inflated at a time
MCU = 16  # rows of the largest block that JPEG codes at once
END_OF_IMAGE = b"\xff\xd9"
FILLER = b"\x35\xca" * 512  # codes that change pixels, where pixels are still to be decoded


def check_whole(image: Image.Image, file: BinaryIO) -> None:
    """Check a decoded PNG or JPEG image against its file.

    Args:
        image: decoded from ``file``.
        file: open for reading in binary.

    Raises:
        OSError: rows are missing.
    """
    if image.format == "PNG" and _may_lack_rows_of_png(image, file):
        expected, found = _size_of_png(file)
        if found < expected:
            raise OSError(f"it is truncated: it holds {found} of {expected} bytes of pixels")
    elif image.format == "JPEG" and _last_row_is_flat(image):
        file.seek(0)
        content = file.read()
        end = content.rfind(END_OF_IMAGE)
        # Decoders skip bytes after the last pixel. Where pixels are missing, these bytes become pixels.
        longer = content[:end] + FILLER + content[end:]
        if end > 0 and _last_rows(longer) != _last_rows(content):
            raise OSError("it is truncated: its last rows are missing")


def _may_lack_rows_of_png(image: Image.Image, file: BinaryIO) -> bool:
    if image.info.get("interlace"):
        return True
    return not _bottom(image, 1).any()


def _size_of_png(file: BinaryIO) -> tuple[int, int]:
    """Bytes of filtered pixels: those that the header promises, and those in the data (counted only up to these)."""
    expected, found, inflate = 0, 0, zlib.decompressobj()
    for kind, data in _chunks(file):
        if kind == b"IHDR":
            expected = _promised(data)
        elif kind == b"IDAT":
            while data and not inflate.eof and found < expected:
                found += len(inflate.decompress(data, PIECE))
                data = inflate.unconsumed_tail
    return expected, found


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    file.seek(8)
    while len(head := file.read(8)) == 8:
        size = int.from_bytes(head[:4], "big")
        if head[4:] in (b"IHDR", b"IDAT"):
            yield head[4:], file.read(size)
        else:
            file.seek(size, io.SEEK_CUR)
        file.seek(4, io.SEEK_CUR)  # checksum


def _promised(header: bytes) -> int:
    """Bytes of a PNG's rows, each with one byte for its filter."""
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    bits = header[8] * CHANNELS[header[9]]
    passes = PASSES if header[12] else ((0, 0, 1, 1),)
    sizes = [((width - x + dx - 1) // dx, (height - y + dy - 1) // dy) for x, y, dx, dy in passes]
    return sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in sizes if columns > 0 and rows > 0)


def _last_row_is_flat(image: Image.Image) -> bool:
    row = _bottom(image, 1)
    return bool((row == row[:, -1:]).all())


def _last_rows(content: bytes) -> bytes:
    """Pixels of the last rows of a JPEG, as bytes."""
    with Image.open(io.BytesIO(content)) as image:
        return _bottom(image, MCU).tobytes()


def _bottom(image: Image.Image, rows: int) -> np.ndarray:
    return np.asarray(image.crop((0, max(image.height - rows, 0), image.width, image.height)))
