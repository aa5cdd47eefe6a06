"""Pictures whose colours stand for classes or segments: a whole label at once, without overlaps."""

from typing import NamedTuple

import numpy as np

from ..files import read_label, read_rgb

__all__ = ["Colored", "Layer", "Panoptic", "VOID"]

VOID = -1  # of the pixels without a name

Color = tuple[int, int, int]


class Colored(NamedTuple):
    """A mask whose colours stand for names. A colour that is not in the table is an error."""

    path: str
    colors: tuple[tuple[Color, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the ids that ``read`` gives."""
        return tuple(dict.fromkeys(name for _, name in self.colors))

    def read(self) -> tuple[np.ndarray, list[tuple[str, str]]]:
        """Indices into ``names`` or VOID, (H, W), and the name and reason of what was dropped.

        Raises:
            UsageError: the file cannot be read, or it holds another colour.
        """
        names = self.names
        return read_label(self.path, {color: names.index(name) for color, name in self.colors}), []


class Panoptic(NamedTuple):
    """COCO's panoptic picture: red + 256 green + 256² blue is the id of a segment; 0 has none."""

    path: str
    segments: tuple[tuple[int, str], ...]  # id and name

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the ids that ``read`` gives."""
        return tuple(dict.fromkeys(name for _, name in self.segments))

    def read(self) -> tuple[np.ndarray, list[tuple[str, str]]]:
        """Indices into ``names`` or VOID, (H, W), and the name and reason of what was dropped.

        Raises:
            UsageError: the file cannot be read.
        """
        ids = read_rgb(self.path).astype(np.int32) @ np.array([1, 256, 256 * 256], np.int32)
        there, inverse = np.unique(ids, return_inverse=True)
        names, of_id = self.names, dict(self.segments)
        known = [names.index(of_id[value]) if value in of_id else VOID for value in there.tolist()]
        dropped = [("", f"the segment {v} has no entry") for v in there.tolist() if v and v not in of_id]
        dropped += [(name, "it covers no pixel") for value, name in self.segments if value not in set(there.tolist())]
        return np.array(known, np.int32)[inverse.reshape(ids.shape)], dropped


Layer = Colored | Panoptic
