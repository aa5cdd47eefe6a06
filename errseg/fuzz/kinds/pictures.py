"""Pictures."""

import io
import os
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from errseg.data.files import read_rgb

from ..bench import Bench
from ..case import ACCEPT, EITHER, REFUSE, Case
from ..mutate import damage

__all__ = ["picture"]

MODES = {"PNG": ["RGB", "L", "P", "1", "RGBA", "LA", "I;16"], "JPEG": ["RGB", "L", "CMYK"], "TIFF": ["RGB", "F", "I"]}


def picture(random: Random, bench: Bench, folder: Path) -> Case:
    """A picture of any kind, given to the reader or to the model."""
    pixels = np.random.default_rng(random.randrange(2**32)).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    kind = random.choice(list(MODES))
    mode = random.choice(MODES[kind])
    image = Image.fromarray(pixels)
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    else:
        image = image.convert("L" if mode in "FI" else "RGB").convert(mode)
    stream = io.BytesIO()
    image.save(stream, kind)
    data, right, wrong = stream.getvalue(), EITHER, lambda result: None
    choice = random.choice(["whole", "damaged", "damaged", "damaged", "cut", "fifo", "folder", "huge", "text"])
    if choice == "whole" and (kind, mode) == ("PNG", "RGB"):
        right = ACCEPT
        wrong = lambda result: None if np.array_equal(result, pixels) else "other pixels"  # noqa: E731
    elif choice == "damaged":
        data = damage(data, random)
    elif choice == "cut":
        data, right = data[: random.randrange(len(data) * 9 // 10)], REFUSE
    elif choice == "huge":
        stream = io.BytesIO()
        Image.new("1", (13000, 13000)).save(stream, "PNG")
        data, right = stream.getvalue(), REFUSE
    elif choice == "text":
        data, right = random.choice([b"", b"<html></html>", b"%PDF-1.4", random.randbytes(100)]), REFUSE
    path = folder / "input.png"
    if choice == "fifo":
        os.mkfifo(path)
        right = REFUSE
    elif choice == "folder":
        path.mkdir()
        right = REFUSE
    else:
        path.write_bytes(data)
    if random.random() < 0.3:
        return Case("Segmenter", f"{choice} {kind} {mode}", right, lambda: bench.segmenter("input.png"))
    return Case("read_rgb", f"{choice} {kind} {mode}", right, lambda: read_rgb("input.png"), wrong)
