"""Check one image and its label."""

from dataclasses import dataclass

import numpy as np

from errseg.config import MAX_PIXELS
from errseg.errors import UsageError

from .checksum import DataChecksum
from .files import check_label_size, read_image_size, read_orientation, read_rgb
from .labels import LabelReader

__all__ = ["PairReport", "is_speckled", "look_at_pair"]

SPECKLES = 64  # pixels; a label with fewer does not count as speckled
SPECKLED_SHARE = 0.15  # of the pixels at the edges of regions; drawn labels have up to 0.05, crossing lines 0.11


@dataclass
class PairReport:
    """The result of checking one image and its label."""

    label: str = ""  # path
    image: str = ""  # path
    problem: str = ""  # a sentence, or empty
    kind: str = ""  # of the problem: image, label, size, ids
    bits: int = 0  # of the label file's ids; 0: not read
    ids: tuple[int, ...] = ()  # that occur: class ids, and the ignore label
    pixels: tuple[int, ...] = ()  # of each of the ids
    orientation: int = 1  # of the image's EXIF
    speckled: bool = False  # whether the label is
    checksum: str = ""  # state of the pair's DataChecksum


def look_at_pair(
    reader: LabelReader, record: dict[str, str], decode: bool = True, max_pixels: int = MAX_PIXELS
) -> PairReport:
    """Read the files of a record.

    Args:
        reader: of the data set.
        record: ``file_name`` and ``sem_seg_file_name``.
        decode: True: decode the image, and compute the pair's checksum; False: read the image's header alone.
        max_pixels: larger files are a problem.
    """
    image, path, kind = record["file_name"], record["sem_seg_file_name"], "image"
    report = PairReport(path, image)
    try:
        size = read_rgb(image, max_pixels).shape[:2] if decode else read_image_size(image, max_pixels)
        report.orientation = read_orientation(image, max_pixels)
        kind = "label"
        label = reader.read(path, image, max_pixels)
        report.bits = reader.bits_of(label)
        kind = "size"
        check_label_size(label, path, image, size)
        kind = "ids"
        report.speckled = is_speckled(label)
        classes = reader.to_classes(label, path)
    except UsageError as error:
        report.problem, report.kind = str(error), kind
        if report.speckled:
            report.problem += (
                " Its regions are speckled, as after lossy compression or smoothing: write labels without either."
            )
        return report
    ids, counts = np.unique(classes, return_counts=True)
    report.ids, report.pixels = tuple(ids.tolist()), tuple(counts.tolist())
    if decode:
        checksum = DataChecksum()
        checksum.add(image, classes)
        report.checksum = checksum.state()
    return report


def is_speckled(label: np.ndarray) -> bool:
    """Whether a label (H, W) looks as if it had been compressed with losses, or resized with interpolation.

    Both make false ids at the edges of regions: pixels without an equal neighbour, and ramps of values between the ids
    of both sides. Drawn labels have few such pixels.
    """
    if min(label.shape) < 3:
        return False
    inner = label[1:-1, 1:-1].astype(np.int32)
    left, right, above, below = (
        part.astype(np.int32) for part in (label[1:-1, :-2], label[1:-1, 2:], label[:-2, 1:-1], label[2:, 1:-1])
    )
    equal = sum((inner == other).astype(np.uint8) for other in (left, right, above, below))
    ramp = ((inner - left) * (right - inner) > 0) | ((inner - above) * (below - inner) > 0)
    speckles = np.count_nonzero((equal == 0) | (ramp & (equal < 4)))
    return speckles >= SPECKLES and speckles > SPECKLED_SHARE * np.count_nonzero(equal < 4)
