"""Read and check published files, translate their ids, write converted files.

Every error is a :class:`UsageError` that names the file, the fault and a remedy. The data set gives the remedy, as the
end of a sentence: "unpack … there".
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import loadmat

from errseg.atomic import replacing
from errseg.errors import UsageError

from ..benchmarks import BENCHMARKS, Benchmark

__all__ = [
    "benchmark",
    "check_same_size",
    "check_sixteen_bits",
    "id_table",
    "image_size",
    "is_whole",
    "plain_name",
    "read_ids",
    "read_label_map",
    "read_pixels",
    "require_file",
    "require_folder",
    "translate",
    "write_image",
]

UNKNOWN = -1  # in a table of ids: no such id in the published data
TABLE_SIZE = 65536
FORMATS = {".png": "PNG", ".tif": "TIFF", ".jpg": "JPEG"}
MODES = {
    "1": "1-bit pixels",
    "L": "8-bit grey pixels",
    "P": "palette pixels",
    "I": "32-bit grey pixels",
    "I;16": "16-bit grey pixels",
    "I;16B": "16-bit grey pixels",
    "RGB": "RGB pixels",
    "RGBA": "RGBA pixels",
}
EXIF_ORIENTATION = 0x0112
ENDS = {".png": b"IEND\xaeB`\x82", ".jpg": b"\xff\xd9"}  # last bytes of a whole file
STRIP_OFFSETS, STRIP_BYTES = 273, 279  # tags of a TIFF
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)  # what Pillow raises


def benchmark(name: str) -> Benchmark:
    """The row of a registered name."""
    return next(row for row in BENCHMARKS if row.name == name)


def require_folder(folder: Path, remedy: str, others: Sequence[Path] = ()) -> None:
    """Check that a folder is there.

    Args:
        folder: the folder.
        remedy: what to do where it is not.
        others: folders that users confuse with it; the message names those that exist.

    Raises:
        UsageError: it is not there.
    """
    if not folder.is_dir():
        wrong = " and ".join(str(path) for path in others if path.exists())
        hint = f", and {wrong} cannot replace it" if wrong else ""
        raise UsageError(f"There is no folder {folder}{hint}; {remedy}.")


def require_file(path: Path, remedy: str) -> None:
    """Check that a file is there.

    Raises:
        UsageError: it is not.
    """
    if not path.is_file():
        raise UsageError(f"There is no file {path}; {remedy}.")


def plain_name(name: str, path: Path, remedy: str) -> str:
    """Check that a name in a published list is the plain name of a file, without a folder; return it.

    Raises:
        UsageError: it is not.
    """
    if name in ("", "..") or name != Path(name).name or "\0" in name:
        raise UsageError(f"{path} lists {name!r}, which is not a file name; {remedy}.")
    return name


def image_size(path: Path, remedy: str) -> tuple[int, int]:
    """(height, width) of an image after its EXIF orientation turns it, from the file's header alone.

    Raises:
        UsageError: it is missing or is no image.
    """
    with _opened(path, "image", remedy) as image:
        width, height = image.size
        sideways = image.getexif().get(EXIF_ORIENTATION) in SIDEWAYS
    return (width, height) if sideways else (height, width)


def read_pixels(path: Path, kind: str, modes: Sequence[str], remedy: str) -> np.ndarray:
    """The pixels of a file as they are stored, not turned by EXIF.

    Args:
        path: the file.
        kind: "image" or "label".
        modes: the modes of Pillow that it may have; empty: any, and the pixels are converted to RGB.
        remedy: for the message.

    Raises:
        UsageError: it is missing, damaged, or of another mode.
    """
    with _opened(path, kind, remedy) as image:
        image.load()
        if not modes:
            image = image.convert("RGB")
    if modes and image.mode not in modes:
        due = " or ".join(MODES[mode] for mode in modes)
        raise UsageError(
            f"The {kind} {path} has {MODES.get(image.mode, image.mode)}, but the published one has {due}; {remedy}."
        )
    return np.asarray(image)


def read_ids(path: Path, remedy: str) -> np.ndarray:
    """A published label of 8 bits, grey or with a palette: (H, W) uint8.

    Raises:
        UsageError: the file is missing, damaged or of another mode.
    """
    return read_pixels(path, "label", ("L", "P"), remedy)


def read_label_map(path: Path, remedy: str) -> np.ndarray:
    """The ``LabelMap`` of a MATLAB file: (H, W) integers of more than 8 bits.

    Raises:
        UsageError: the file is missing or damaged, or holds something else.
    """
    require_file(path, remedy)
    try:
        label = loadmat(path, appendmat=False, mat_dtype=True, variable_names=["LabelMap"]).get("LabelMap")
    except Exception as error:  # scipy documents no exceptions, and raises many types
        raise UsageError(f"The label {path} cannot be read ({_first_line(error)}); {remedy}.") from error
    if label is None:
        raise UsageError(f"The label {path} has no LabelMap; {remedy}.")
    if not isinstance(label, np.ndarray) or label.ndim != 2 or label.dtype.kind not in "iuf":
        raise UsageError(f"The LabelMap of {path} is not a matrix of numbers; {remedy}.")
    if label.dtype.itemsize == 1:
        raise UsageError(f"The LabelMap of {path} has 8 bits, which cannot hold ids up to 459; {remedy}.")
    if label.dtype.kind == "f":
        if not np.all(np.isfinite(label) & (label == np.floor(label)) & (np.abs(label) < TABLE_SIZE)):
            raise UsageError(f"The LabelMap of {path} holds numbers that are not ids; {remedy}.")
        label = label.astype(np.int32)
    return label


def check_same_size(label: np.ndarray, label_path: Path, size: tuple[int, int], image_path: Path, remedy: str) -> None:
    """Check that a label (H, W, …) has the (height, width) of its image.

    Raises:
        UsageError: the sizes differ.
    """
    height, width = label.shape[:2]
    if (height, width) != size:
        raise UsageError(
            f"The label {label_path} has {width} × {height} pixels, its image {image_path} {size[1]} × {size[0]}; "
            f"{remedy}."
        )


@cache
def id_table(name: str, ignored: Sequence[int]) -> np.ndarray:
    """The new id of each raw id of a registered set, (65536,) int32: a class, the set's ignore label, or UNKNOWN."""
    row = benchmark(name)
    file = resources.files("errseg.data.vocabularies") / f"{row.vocabulary}.json"
    table = np.full(TABLE_SIZE, UNKNOWN, np.int32)
    table[list(ignored)] = row.ignore_label
    for entry in json.loads(file.read_text(encoding="utf-8"))["classes"]:
        table[entry["raw_id"]] = entry["id"]
    return table


def translate(ids: np.ndarray, table: np.ndarray, dtype: type, path: Path | str, remedy: str) -> np.ndarray:
    """Map raw ids (H, W) to class ids of type ``dtype`` by the table of :func:`id_table`.

    Raises:
        UsageError: the table has no such id, or UNKNOWN for it.
    """
    smallest, largest = int(ids.min(initial=0)), int(ids.max(initial=0))
    if smallest < 0 or largest >= len(table):
        unknown = smallest if smallest < 0 else largest
    else:
        classes = table[ids]
        if not np.any(classes == UNKNOWN):
            return classes.astype(dtype)
        unknown = int(ids[classes == UNKNOWN].min())
    raise UsageError(f"The label {path} holds the raw id {unknown}, which stands for no class; {remedy}.")


def check_sixteen_bits(path: Path) -> None:
    """Check that a label from an earlier conversion has 16 bits.

    Raises:
        UsageError: it has not, or cannot be read.
    """
    remedy = "it was not written by this script: delete it, or add --force"
    with _opened(path, "label", remedy) as image:
        if image.mode not in ("I;16", "I;16B"):
            raise UsageError(f"The label {path} has {MODES.get(image.mode, image.mode)} instead of 16 bits; {remedy}.")


def is_whole(path: Path) -> bool:
    """Whether a converted file is complete; other programs may leave half-written ones. Only its end is read."""
    try:
        with path.open("rb") as file:
            size, ending = file.seek(0, os.SEEK_END), ENDS.get(path.suffix, b"")
            file.seek(max(size - len(ending), 0))
            if file.read() != ending:
                return False
            if path.suffix != ".tif":
                return True
            with Image.open(file) as image:
                tags = image.tag_v2
                return max(map(sum, zip(tags[STRIP_OFFSETS], tags[STRIP_BYTES], strict=True))) <= size
    except (KeyError, TypeError, *UNREADABLE):
        return False


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write an image or a label, whole or not at all, in the format of the path's ending."""
    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, FORMATS[path.suffix])


@contextmanager
def _opened(path: Path, kind: str, remedy: str) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except UsageError:
        raise
    except FileNotFoundError:
        raise UsageError(f"The {kind} {path} is missing; {remedy}.") from None
    except UNREADABLE as error:
        raise UsageError(f"The {kind} {path} cannot be read ({_first_line(error)}); {remedy}.") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
