"""Make the label of one picture from its regions, and count what overlapped, was dropped or is hidden."""

import base64
import binascii
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from errseg.atomic import replacing
from errseg.errors import UsageError

from ..files import read_image_size, read_orientation
from ..pictures import TRANSPOSED, turn
from ..prepare.raw import write_image
from .plan import Picture, Region
from .shapes import Dropped, Size

__all__ = ["Painter", "Target"]

NOTHING, IGNORED = -1, -2  # owners of pixels without a region, and of pixels whose region does not count
NO_NAME = "(no name)"

Row = dict[str, Any]  # of the report


class Target(NamedTuple):
    """Where a picture's files go."""

    image: Path
    label: Path


class Painter(NamedTuple):
    """Writes labels. It can be sent to other processes.

    Attributes:
        ids: class id of each name of the source; None: its regions do not count. Other names are dropped.
        empty: id of the pixels without a region.
        ignore: id of the pixels that do not count.
        smaller: a smaller region wins over a larger one; False: a later one over an earlier one.
    """

    ids: Mapping[str, int | None]
    empty: int
    ignore: int
    smaller: bool

    def __call__(self, task: tuple[Picture, Target]) -> Row | str:
        """Write the label of a picture; its row of the report, or the sentence that says why it is left out."""
        picture, target = task
        try:
            if picture.embedded:
                _write_embedded(picture, target.image)
            image = str(target.image) if picture.embedded else picture.image
            label, row = self.paint(picture, image)
            write_image(target.label, label.astype(np.uint8 if self.ignore == 255 else np.uint16))
        except UsageError as error:
            return str(error)
        return row

    def paint(self, picture: Picture, image: str) -> tuple[np.ndarray, Row]:
        """The label (H, W) of a picture, on the image as EXIF turns it, and its row of the report.

        Raises:
            UsageError: a file cannot be read, or the image has not the size that the annotation says.
        """
        upright, turned = read_image_size(image), False
        size = picture.size or upright
        if picture.layer:
            label, row = self._of_layer(picture)
            size = label.shape
        if size != upright:
            turned = size == upright[::-1] and read_orientation(image) in TRANSPOSED
            if not turned:
                raise UsageError(
                    f"The image {image} has {upright[1]} × {upright[0]} pixels, its annotation is of {size[1]} × "
                    f"{size[0]}; give the images that were annotated."
                )
        if not picture.layer:
            label, row = self._of_regions(picture, size)
        if turned:
            label = turn(label, read_orientation(image))
        ids, counts = np.unique(label, return_counts=True)
        row["pixels"] = dict(zip(map(str, ids.tolist()), counts.tolist(), strict=True))
        return label, row

    def _of_layer(self, picture: Picture) -> tuple[np.ndarray, Row]:
        layer = picture.layer
        assert layer is not None
        indices, dropped = layer.read()
        classes = [self.ids.get(name, NOTHING) for name in layer.names]
        table = [self.ignore if each is None else self.empty if each == NOTHING else each for each in classes]
        label = np.array([*table, self.empty], np.int32)[indices]  # the last is of VOID, -1
        present = [layer.names[index] for index in np.unique(indices).tolist() if index >= 0]
        dropped += [(name, "its name is not among the names") for name in present if name not in self.ids]
        kept = Counter(str(self.ids[name]) for name in present if self.ids.get(name) is not None)
        return label, _row(kept, dropped)

    def _of_regions(self, picture: Picture, size: Size) -> tuple[np.ndarray, Row]:
        dropped = list(picture.faults)
        owner = np.full(size, NOTHING, np.int32)  # of each pixel, the number of the region that has it
        owners: list[tuple[str, int]] = []  # name and class of each region that is drawn
        several, overlaps = np.zeros(size, bool), Counter()
        for region, mask in self._drawn(picture, size, dropped):
            index = self.ids[region.name] if region.name else None
            own = IGNORED if index is None else index
            below = owner[mask]
            classes = np.array([each for _, each in owners] or [NOTHING], np.int32)
            under = np.where(below >= 0, classes[np.maximum(below, 0)], NOTHING)
            other = (below >= 0) & (under != own)
            several[mask] |= other
            for each, count in zip(*np.unique(under[other], return_counts=True), strict=True):
                overlaps[(own, int(each))] += int(count)
            owner[mask] = len(owners)
            owners.append((region.name, own))
        counts = np.bincount(owner[owner >= 0], minlength=len(owners)) if owners else []
        table = [self.ignore if own == IGNORED else own for _, own in owners]
        label = np.array([*table, self.empty], np.int32)[owner]
        row = _row(Counter(str(own) for _, own in owners if own >= 0), dropped)
        row["overlaps"] = [[over, under, pixels] for (over, under), pixels in sorted(overlaps.items())]
        row["several"] = int(several.sum())
        row["hidden"] = [name or NO_NAME for (name, _), count in zip(owners, counts, strict=True) if not count]
        return label, row

    def _drawn(
        self, picture: Picture, size: Size, dropped: list[tuple[str, str]]
    ) -> Iterator[tuple[Region, np.ndarray]]:
        """The regions and their masks in the order of drawing; ``dropped`` gets the name and reason of the others."""
        regions = []
        for region in picture.regions:
            if region.name and region.name not in self.ids:
                dropped.append((region.name, "its name is not among the names"))
            else:
                regions.append(region)
        if self.smaller:  # masks are drawn twice, since those of a large picture do not fit into memory together
            areas = [(_area(region.shape.draw, size), region) for region in regions]
            regions = [region for _, region in sorted(areas, key=lambda pair: -pair[0])]
        for region in regions:
            try:
                mask = region.shape.draw(size)
            except Dropped as error:
                dropped.append((region.name or NO_NAME, str(error)))
                continue
            if mask.any():
                yield region, mask
            else:
                dropped.append((region.name or NO_NAME, "it covers no pixel"))


def _row(kept: Counter, dropped: list[tuple[str, str]]) -> Row:
    return {
        "regions": dict(kept),  # number of each class id
        "dropped": [[name, reason] for name, reason in dropped],
        "overlaps": [],  # class over class, and pixels
        "several": 0,  # pixels that regions of several classes cover
        "hidden": [],  # names of regions without a pixel of their own
    }


def _area(draw: Callable[[Size], np.ndarray], size: Size) -> int:
    try:
        return int(draw(size).sum())
    except Dropped:
        return 0


def _write_embedded(picture: Picture, path: Path) -> None:
    """Write an image that only the annotation has.

    Raises:
        UsageError: it is no base64.
    """
    try:
        content = base64.b64decode(picture.embedded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError(
            f"The image of {picture.place} is missing, and the image data in the annotation are damaged; restore it."
        ) from error
    with replacing(path) as temporary:
        temporary.write_bytes(content)
