"""The result of an inspection: numpy arrays, with the ids of the names that they belong to.

Shapes: T names of the vocabulary, K of them kept by CRM, S names shown, C channels, H x W the picture, h x w a map of
the model.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Attention", "ClassAttention", "Guidance", "Inspection", "Ranking", "SpatialAttention"]


@dataclass(frozen=True)
class Ranking:
    """How CRM ranks the names (Eqs. 5 and 6)."""

    scores: np.ndarray  # (T,) float32, points per location: 0 to 1 + 0.1 + 0.01
    kept: np.ndarray  # (K,) int64, ascending ids
    num_classes: int  # the requested K, at most T

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
    """The guidance of ESCF and GUD."""

    image: np.ndarray | None  # (C, h, w) float32, of ESCF, from the image at stride 16; None: no SFM
    text: np.ndarray | None  # (K, C) float32, of ESCF, from the names kept; None: no CFM
    decoder: dict[str, np.ndarray]  # (C, h, w) float32 each: "os16", "os8", "os4" where GUD has them


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
    cost: dict[str, np.ndarray] | None = None  # (T, h, w) float32 cosines of "E16" and "E32" where the model has them
    crm: Ranking | None = None
    attention: Attention | None = None
    guidance: Guidance | None = None

    @property
    def winners(self) -> np.ndarray:
        """Ids of the names that win pixels, the largest area first."""
        ids, counts = np.unique(self.labels, return_counts=True)
        return ids[np.argsort(-counts, kind="stable")]
