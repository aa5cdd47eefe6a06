"""Label Studio's run-length code of brush masks (``"format": "rle"``).

The code is a stream of bits over the bytes of an RGBA picture, row by row; a pixel belongs to the mask where its alpha
is at least 128. The stream begins with the number of bytes (32 bits), the bits of a value less one (5 bits) and four
lengths less one (4 bits each). Then follow runs: one bit (1: a repeated value, 0: values of their own), the number of
one of the four lengths (2 bits), the number of values less one (as many bits as that length), and the value or values.
"""

from collections.abc import Sequence

import numpy as np

__all__ = ["decode_brush", "encode_brush"]

LENGTHS = (3, 4, 8, 16)  # bits of the four lengths, as Label Studio writes them
CHANNELS = 4
HALF = 128  # least alpha of a pixel in the mask


def encode_brush(mask: np.ndarray) -> list[int]:
    """The code of a mask (H, W) of bool, as bytes."""
    values = np.repeat(mask.ravel(), CHANNELS)
    edges = np.flatnonzero(values[1:] != values[:-1]) + 1
    starts = np.concatenate([[0], edges]) if values.size else np.zeros(0, int)
    lengths = np.diff(np.concatenate([starts, [values.size]])) if values.size else starts
    bits = [f"{values.size:032b}", f"{7:05b}", *(f"{length - 1:04b}" for length in LENGTHS)]
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        byte = "11111111" if values[start] else "00000000"
        while length:
            part = min(length, 1 << LENGTHS[-1])
            which = next(i for i, size in enumerate(LENGTHS) if part <= 1 << size)
            bits.append(f"1{which:02b}{part - 1:0{LENGTHS[which]}b}{byte}")
            length -= part
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def decode_brush(code: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """The mask of a code, (height, width) of bool.

    Raises:
        ValueError: it is no such code, or its mask has another size.
    """
    stream = _Bits(code)
    total, width = stream.take(32), stream.take(5) + 1
    lengths = [stream.take(4) + 1 for _ in range(4)]
    pixels = size[0] * size[1]
    if total != pixels * CHANNELS:
        raise ValueError(f"a brush mask of {total} bytes, not of {size[1]} × {size[0]} pixels")
    values = np.zeros(total, np.uint8)
    place = 0
    while place < total:
        repeated, count = stream.take(1), stream.take(lengths[stream.take(2)]) + 1
        if place + count > total:
            raise ValueError("a brush mask whose runs are too long")
        if repeated:
            values[place : place + count] = min(stream.take(width), 255)
        else:
            for i in range(place, place + count):
                values[i] = min(stream.take(width), 255)
        place += count
    return values.reshape(*size, CHANNELS)[..., CHANNELS - 1] >= HALF


class _Bits:
    """Takes numbers from a stream of bits."""

    def __init__(self, code: Sequence[int]):
        if not all(type(byte) is int and 0 <= byte <= 255 for byte in code):
            raise ValueError("a brush mask that is no list of bytes")
        self._code = bytes(code)
        self._place = 0

    def take(self, bits: int) -> int:
        first, last = self._place >> 3, (self._place + bits + 7) >> 3
        if last > len(self._code):
            raise ValueError("a brush mask that ends early")
        number = int.from_bytes(self._code[first:last], "big") >> (-(self._place + bits) % 8)
        self._place += bits
        return number & ((1 << bits) - 1)
