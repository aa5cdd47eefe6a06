"""Faults in the labels of a whole data set that would spoil a score, each described in a sentence."""

from dataclasses import dataclass, field

import numpy as np

from .labels import LabelReader
from .pair import PairReport

__all__ = ["Findings"]


@dataclass
class Findings:
    """The findings from the pairs of image and label, added up.

    Attributes:
        pixels: number of pixels of each class, (T,) int64.
        ignored: number of pixels that do not count.
        labels: number of labels that could be read.
    """

    reader: LabelReader
    classes: tuple[str, ...]
    sample: bool = False  # only some of the pairs are checked
    pixels: np.ndarray = field(init=False)
    ignored: int = 0
    labels: int = 0
    _turned: list[str] = field(default_factory=list)  # images
    _speckled: list[str] = field(default_factory=list)  # labels

    def __post_init__(self) -> None:
        self.pixels = np.zeros(self.reader.num_classes, np.int64)

    def add(self, pair: PairReport) -> None:
        """Count a pair."""
        if pair.orientation != 1:
            self._turned.append(pair.image)
        if pair.speckled:
            self._speckled.append(pair.label)
        self.labels += bool(pair.ids)
        for index, count in zip(pair.ids, pair.pixels, strict=True):
            if index == self.reader.ignore_label:
                self.ignored += count
            else:
                self.pixels[index] += count

    def errors(self) -> list[str]:
        """Faults that make training and scores meaningless."""
        if not self.labels or self.reader.explicit:
            return []
        seen = np.flatnonzero(self.pixels)
        if len(self.classes) == 2 and len(seen) == 1 and self.ignored:
            value, ignored = self._value_of(int(seen[0])), self._value_of(self.reader.ignore_label)
            other = self.classes[1 - seen[0]]
            pairs = sorted([(value, self.classes[seen[0]]), (ignored, other)])
            listed = ", ".join(f"{raw}: {name.split(',')[0]}" for raw, name in pairs)
            return [
                f"{self._which()} hold the two values {pairs[0][0]} and {pairs[1][0]}, as masks of two classes do, but "
                f"{ignored} is the value of ignored pixels, so that no pixel is of the class {other!r}; give values: "
                f"{{{listed}}} in the data-set file, or {ignored}: ignore there if these pixels are to be ignored."
            ]
        return []

    def warnings(self) -> list[str]:
        """Findings that are most probably faults."""
        found = []
        seen = np.flatnonzero(self.pixels)
        if self.labels and len(seen) == 1 and len(self.classes) > 1 and not self.errors():
            found.append(
                f"{self._which()} hold no class but {self.classes[seen[0]]!r} (id {seen[0]}); look at the files, and "
                "at how their values become ids."
            )
        if self._speckled:
            found.append(
                f"{len(self._speckled)} labels look as if they had been compressed with losses, or resized with "
                f"smoothing, which makes false ids at the edges of regions (the first is {self._speckled[0]}); write "
                "them anew, without losses and by nearest neighbour."
            )
        return found

    def turned(self) -> str:
        """A sentence about images that EXIF turns, where the key ``exif`` is not given; "" where there is none."""
        if not self._turned or self.reader.exif:
            return ""
        key = "; give exif: turned in the data-set file, or exif: stored if they are drawn on the pixels before"
        return (
            f"The EXIF orientation turns {len(self._turned)} images (the first is {self._turned[0]}), and their labels "
            f"are taken as drawn on the turned image{key if self.reader.from_file else ''}."
        )

    def _which(self) -> str:
        return f"{self.labels} labels that were looked at" if self.sample else f"All {self.labels} labels"

    def _value_of(self, index: int) -> int:
        """The value in the files of a class, or of the ignore label."""
        mapped = {classes: raw for raw, classes in (self.reader.label_map or {}).items()}
        return mapped.get(index, index)
