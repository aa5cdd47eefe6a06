"""Contact sheets: images of a data set beside their labels, for a visual check."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from errseg.errors import UsageError
from errseg.visualization import draw_text, fit, join, panel

from .files import read_rgb
from .labels import LabelReader

__all__ = ["contact_sheet"]

BOX = (240, 320)  # height and width of a picture, at most
ONE_COLUMN = 3  # up to this many samples, the sheet has one column


def contact_sheet(name: str, count: int) -> np.ndarray:
    """Samples of a registered data set, evenly spaced: image, label in colours, and the label's names.

    Args:
        name: registered name.
        count: samples, at most.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        UsageError: the data set is missing or empty. Where a pair cannot be read, the sheet shows the reason instead.
    """
    records, names = DatasetCatalog.get(name), MetadataCatalog.get(name).stuff_classes
    places = np.unique(np.linspace(0, len(records) - 1, min(count, len(records))).round().astype(int))
    reader = LabelReader(name)
    samples = [_sample(reader, records[place], names) for place in places]
    columns = 1 if len(samples) <= ONE_COLUMN else 2
    rows = [join(samples[i : i + columns], gap=24) for i in range(0, len(samples), columns)]
    width = max(row.shape[1] for row in rows)
    title = draw_text(f"{name}: {len(samples)} of {len(records)} images, {len(names)} names", width, 28)
    return np.pad(join([title, *rows], vertical=True, gap=12), ((8, 8), (8, 8), (0, 0)), constant_values=255)


def _sample(reader: LabelReader, record: dict[str, str], names: Sequence[str]) -> np.ndarray:
    """One pair: title, image, label in colours, legend."""
    path = record["sem_seg_file_name"]
    try:
        image = read_rgb(record["file_name"])
        label = reader(path, record["file_name"], image.shape[:2])
    except UsageError as error:
        image, parts = np.full((*BOX, 3), 255, np.uint8), [draw_text(str(error), 3 * BOX[1])]
    else:
        parts = [panel(image, label, names, reader.ignore_label, BOX)]
    small = fit(image, BOX)
    small = np.pad(small, ((0, 0), (0, BOX[1] - small.shape[1]), (0, 0)), constant_values=255)
    sample = join([small, *parts])
    return join([draw_text(Path(path).name, sample.shape[1]), sample], vertical=True, gap=2)
