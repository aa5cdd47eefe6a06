"""The result of an inspection: numpy arrays, with the ids of the names that they belong to.

Shapes: T names of the vocabulary, K of them kept by CRM, S names shown, N proposals, C channels, H x W the picture,
h x w a map of the model. A ``cell`` is (width, height) of one of the h x w cells, in pixels of the picture; the cells
begin at the top left, and may reach beyond the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = [
    "Attention",
    "ClassAttention",
    "Guidance",
    "Heatmaps",
    "Inspection",
    "Proposals",
    "Ranking",
    "Severance",
    "SpatialAttention",
]


@dataclass(frozen=True)
class Ranking:
    """How CRM ranks the names (Eqs. 5 and 6)."""

    scores: np.ndarray  # (T,) float32, points per location: 0 to 1 + 0.1 + 0.01
    kept: np.ndarray  # (K,) int64, ascending ids
    num_classes: int  # the requested K, at most T; that of the picture, if it fits the picture
    threshold: float | None = None  # the points per location of the names kept, if K fits the picture

    @property
    def order(self) -> np.ndarray:
        """(T,) ids by rank: first the names kept, then the others, each by score; equal scores by id."""
        is_kept = np.isin(np.arange(len(self.scores)), self.kept)
        return np.lexsort((np.arange(len(self.scores)), -self.scores, ~is_kept))


@dataclass(frozen=True)
class SpatialAttention:
    """SFM's attention from one location, one map for each class."""

    classes: tuple[int, ...]  # ids of the shown names that this run kept
    weights: np.ndarray  # (len(classes), heads, h, w) float32; the sum over h x w is 1
    query: tuple[float, float]  # (x, y) of the location's centre in pixels of the picture
    cell: tuple[float, float]  # (width, height) of one of the h x w cells in pixels of the picture

    def mean_distance(self, weights: np.ndarray) -> float:
        """The mean distance of the attention (h, w) from the query, in pixels of the picture."""
        rows, columns = np.indices(weights.shape)
        x, y = (columns + 0.5) * self.cell[0], (rows + 0.5) * self.cell[1]
        distance = np.hypot(x - self.query[0], y - self.query[1])
        return float((weights * distance).sum() / weights.sum())


@dataclass(frozen=True)
class ClassAttention:
    """CFM's attention among the classes: row i is the attention of class i to all classes."""

    classes: np.ndarray  # (K,) int64, ids of rows and columns
    mean: np.ndarray  # (heads, K, K) float32, the mean over all locations; rows sum to 1
    at_point: np.ndarray  # (heads, K, K) float32, at the location of the point; rows sum to 1

    def inside(self, weights: np.ndarray, ids: np.ndarray) -> float:
        """The share of its attention (K, K) that a class of ``ids`` gives to the classes of ``ids``, on average."""
        members = np.isin(self.classes, ids)
        return float(weights[members][:, members].sum(1).mean())


@dataclass(frozen=True)
class Attention:
    """The attention of one ESCF layer, with CRM's K classes and with all T."""

    layer: int  # 1 is the first
    num_layers: int
    spatial: SpatialAttention | None  # with CRM; None: the model has no SFM
    spatial_all: SpatialAttention | None  # every name kept; None: the same, because CRM dropped no name
    classes: ClassAttention | None  # with CRM; None: the model has no CFM
    classes_all: ClassAttention | None


@dataclass(frozen=True)
class Guidance:
    """The guidance of the aggregation (ERR-Seg: ESCF) and of the decoder (GUD)."""

    image: np.ndarray | None  # (C, h, w) float32, from the image; None: none (ERR-Seg: no SFM)
    text: np.ndarray | None  # (K, C) float32, from the names kept; None: none (ERR-Seg: no CFM)
    decoder: dict[str, np.ndarray]  # (C, h, w) float32 each: by feature map, "os16", "os8", "os4", or by stage


@dataclass(frozen=True)
class Proposals:
    """The masks that a model proposes, with the name of each."""

    masks: np.ndarray  # (N, h, w) float32 probabilities
    classes: np.ndarray  # (N, T + 1) float32 probabilities; the last: the mask shows none of the names
    cell: tuple[float, float]

    @property
    def areas(self) -> np.ndarray:
        """(N,) shares of the picture, each the mean of a mask's probabilities."""
        return self.masks.mean((1, 2))

    @property
    def order(self) -> np.ndarray:
        """(N,) proposals, the largest area first."""
        return np.argsort(-self.areas, kind="stable")

    @property
    def best(self) -> np.ndarray:
        """(N,) the id of each proposal's most probable name; T: none of the names."""
        return self.classes.argmax(1)

    def strongest(self, name: int) -> int:
        """The proposal that adds most to the scores of a name, over all pixels."""
        return int((self.classes[:, name] * self.areas).argmax())

    def strongest_at(self, point: tuple[int, int], name: int) -> int:
        """The proposal that adds most to the score of a name at a point (x, y)."""
        column, row = (int((place + 0.5) / side) for place, side in zip(point, self.cell, strict=True))
        return int((self.classes[:, name] * self.masks[:, row, column]).argmax())


@dataclass(frozen=True)
class Heatmaps:
    """Where the classifier looks for each proposal, the mean of its heads."""

    before: np.ndarray  # (N, h, w) float32; the sum over all cells of the padded picture is 1
    after: np.ndarray  # (N, h, w) float32, multiplied by the proposal's mask
    proposals: Proposals  # at the same cells

    def to_show(self, point: tuple[int, int], name: int, others: Sequence[int]) -> dict[int, int]:
        """The name for which each proposal is shown: first that of the point, then the strongest of each name.

        Args:
            point: (x, y).
            name: the id of the name that wins at the point.
            others: ids of further names.
        """
        chosen = {self.proposals.strongest_at(point, name): name}
        for each in others:
            chosen.setdefault(self.proposals.strongest(each), each)
        return chosen


@dataclass(frozen=True)
class Severance:
    """Cosines of the dense embedding by the mode of patch severance: that of the model, and "none"."""

    names: dict[str, np.ndarray]  # (T, h, w) float32, with the names
    place: dict[str, np.ndarray]  # (h, w) float32, with the embedding at the point
    cell: tuple[float, float]


@dataclass(frozen=True)
class Inspection:
    """The inspection of one picture; a part that was not requested is None."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    names: tuple[str, ...]  # T: every synonym counts as a name of its own
    labels: np.ndarray  # (H, W) int64, the id of the best name of each pixel
    confidence: np.ndarray  # (H, W) float32, the scores of these names
    kept: np.ndarray  # (K,) int64, ascending ids of the names that CRM kept
    shown: tuple[int, ...]  # S ids: the requested names, or those of the largest areas
    point: tuple[int, int]  # (x, y) in pixels of the picture
    cost: dict[str, np.ndarray] | None = None  # (T, h, w) float32 cosines, by embedding: E and its stride
    crm: Ranking | None = None
    attention: Attention | None = None
    guidance: Guidance | None = None
    proposals: Proposals | None = None
    heatmaps: Heatmaps | None = None
    severance: Severance | None = None

    @property
    def winners(self) -> np.ndarray:
        """Ids of the names that win pixels, the largest area first."""
        ids, counts = np.unique(self.labels, return_counts=True)
        return ids[np.argsort(-counts, kind="stable")]
