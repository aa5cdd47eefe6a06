"""What an inspection gives: arrays of numpy, with the ids that say whose they are.

Shapes: T names that the model is asked for, K of them kept by CRM, S names shown, C channels, H x W the picture,
h x w a map of the model.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Attention", "ClassAttention", "Guidance", "Inspection", "Ranking", "SpatialAttention"]


@dataclass(frozen=True)
class Ranking:
    """How CRM ranks the names (Eqs. 5 and 6)."""

    scores: np.ndarray  # (T,) float32, points per location: 0 to 1 + 0.1 + 0.01
    kept: np.ndarray  # (K,) int64, ascending ids
    num_classes: int  # the K that was asked for, at most T

    @property
    def order(self) -> np.ndarray:
        """(T,) ids by rank: what was kept first, then by score; equal scores by id."""
        is_kept = np.isin(np.arange(len(self.scores)), self.kept)
        return np.lexsort((np.arange(len(self.scores)), -self.scores, ~is_kept))


@dataclass(frozen=True)
class SpatialAttention:
    """Where SFM looks from one location, class by class."""

    classes: tuple[int, ...]  # ids of those of the S names that this run kept
    weights: np.ndarray  # (len(classes), heads, h, w) float32; the sum over h x w is 1
    query: tuple[float, float]  # (x, y) of the location's centre in pixels of the picture
    cell: tuple[float, float]  # (width, height) of one of the h x w cells in pixels of the picture

    def mean_distance(self, weights: np.ndarray) -> float:
        """How far attention (h, w) reaches: its mean distance from the query, in pixels of the picture."""
        rows, columns = np.indices(weights.shape)
        x, y = (columns + 0.5) * self.cell[0], (rows + 0.5) * self.cell[1]
        distance = np.hypot(x - self.query[0], y - self.query[1])
        return float((weights * distance).sum() / weights.sum())


@dataclass(frozen=True)
class ClassAttention:
    """To which classes CFM looks: row i is what class i attends to."""

    classes: np.ndarray  # (K,) int64, ids of rows and columns
    mean: np.ndarray  # (heads, K, K) float32, the mean over all locations; rows sum to 1
    at_point: np.ndarray  # (heads, K, K) float32, at the location of the point; rows sum to 1

    def inside(self, weights: np.ndarray, ids: np.ndarray) -> float:
        """The share of attention (K, K) that some classes give themselves and each other, their mean."""
        members = np.isin(self.classes, ids)
        return float(weights[members][:, members].sum(1).mean())


@dataclass(frozen=True)
class Attention:
    """The attention of one ESCF layer, with CRM's K classes and with all T."""

    layer: int  # 1 is the first
    num_layers: int
    spatial: SpatialAttention | None  # with CRM; None: the model has no SFM
    spatial_all: SpatialAttention | None  # every name kept; None: CRM has dropped none, so it would be the same
    classes: ClassAttention | None  # with CRM; None: the model has no CFM
    classes_all: ClassAttention | None


@dataclass(frozen=True)
class Guidance:
    """What guides ESCF and GUD."""

    image: np.ndarray | None  # (C, h, w) float32, ESCF's from the image at stride 16; None: no SFM
    text: np.ndarray | None  # (K, C) float32, ESCF's from the names kept; None: no CFM
    decoder: dict[str, np.ndarray]  # (C, h, w) float32 each: "os16", "os8", "os4", those that GUD has


@dataclass(frozen=True)
class Inspection:
    """What a model does with one picture; a part that was not asked for is None."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    names: tuple[str, ...]  # T, as the model is asked for them: each synonym on its own
    labels: np.ndarray  # (H, W) int64, ids of the names that win
    confidence: np.ndarray  # (H, W) float32, their scores
    kept: np.ndarray  # (K,) int64, ascending ids of the names that CRM kept
    shown: tuple[int, ...]  # S ids: those asked for, or the largest
    point: tuple[int, int]  # (x, y) in pixels of the picture
    cost: dict[str, np.ndarray] | None = None  # (T, h, w) float32 cosines of "E16" and "E32", those the model has
    crm: Ranking | None = None
    attention: Attention | None = None
    guidance: Guidance | None = None

    @property
    def winners(self) -> np.ndarray:
        """Ids of the names that win pixels, the largest first."""
        ids, counts = np.unique(self.labels, return_counts=True)
        return ids[np.argsort(-counts, kind="stable")]
