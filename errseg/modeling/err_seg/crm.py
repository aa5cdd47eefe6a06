"""Channel Reduction Module (III-C): keep the K classes that matter for this image.

Shapes: B images, T classes of the vocabulary, K classes kept, H x W locations at stride 16.
"""

import torch
from torch import Tensor, nn

from ...errors import ArgumentError
from ..cost_map import CostBlocks
from ..num_kept import AutoKept, NumKept


class CRM(nn.Module):
    """Rank the classes at every location, score them, keep the K best (Eqs. 5 and 6). No parameters, no gradient.

    Args:
        top_categories: number of classes that score at one location.
        score_coefficient: the r-th best class of a location (r = 0, 1, ...) scores ``score_coefficient ** r``.

    Raises:
        ArgumentError: ``top_categories`` is less than 1.
    """

    takes_blocks = True  # the cost map of many classes comes as ``CostBlocks``

    def __init__(self, top_categories: int = 3, score_coefficient: float = 0.1):
        super().__init__()
        if top_categories < 1:
            raise ArgumentError("{top_categories} = %s keeps no class; give 1 or more.", top_categories)
        self.top_categories = top_categories
        self.score_coefficient = score_coefficient

    @torch.no_grad()
    def scores(self, cost_map: Tensor | CostBlocks) -> Tensor:
        """The classes' scores: (B, T, H, W) cosines -> (B, T).

        Points are counted per rank in whole numbers first, so that the order of summation does not matter.
        """
        batch, num_names = cost_map.shape[:2]
        top = min(self.top_categories, num_names)
        if isinstance(cost_map, CostBlocks):
            ranked = best_of_blocks(cost_map, top)
        else:
            ranked = cost_map.flatten(2).topk(top, dim=1).indices
        counts = torch.zeros(batch, top, num_names, dtype=torch.int64, device=cost_map.device)
        counts.scatter_add_(2, ranked, torch.ones_like(ranked))
        points = self.score_coefficient ** torch.arange(top, dtype=torch.float64, device=cost_map.device)
        return torch.einsum("brt,r->bt", counts.double(), points).float()

    def points(self, cost_map: Tensor | CostBlocks) -> Tensor:
        """The classes' points per location, the scores over the number of locations: (B, T, H, W) -> (B, T)."""
        return self.scores(cost_map) / (cost_map.shape[2] * cost_map.shape[3])

    @torch.no_grad()
    def forward(self, cost_map: Tensor | CostBlocks, num_kept: NumKept, present: Tensor | None = None) -> Tensor:
        """Ids of the classes to keep, ascending. Of classes with equal scores (often 0), the lower ids are kept.

        Args:
            cost_map: (B, T, H, W) cosines at stride 16, whole or in blocks.
            num_kept: K; all classes are kept where K >= T. Or an ``AutoKept``, which gives each image its own K.
            present: (B, T) bool, the classes of the ground truth (training); they rank first.

        Returns:
            (B, min(K, T)) int64. With an ``AutoKept``, K is the largest of the batch, and -1 follows the ids of an
            image that keeps fewer classes.
        """
        batch, num_names = cost_map.shape[:2]
        if isinstance(num_kept, AutoKept):
            return self.fitting(cost_map, num_kept, present)
        if num_kept >= num_names:
            return torch.arange(num_names, device=cost_map.device).expand(batch, -1)
        scores = self.scores(cost_map)
        if present is not None:
            scores = scores.masked_fill(present, torch.inf)
        # A stable sort, because topk breaks ties differently on different devices and runtimes
        return scores.sort(dim=1, descending=True, stable=True).indices[:, :num_kept].sort(dim=1).values

    def fitting(self, cost_map: Tensor | CostBlocks, num_kept: AutoKept, present: Tensor | None = None) -> Tensor:
        """The classes whose points per location reach the threshold of an ``AutoKept``; see ``forward``."""
        points = self.points(cost_map)
        counts = num_kept.counts(points, present)
        if present is not None:
            points = points.masked_fill(present, torch.inf)
        best = points.sort(dim=1, descending=True, stable=True).indices[:, : int(counts.max())]
        return first_of_each(best, counts, points.shape[1])


def best_of_blocks(blocks: CostBlocks, top: int) -> Tensor:
    """The ids of the ``top`` best classes of every location, best first: (B, top, H W).

    Of classes with equal cosines, the lower id ranks first.
    """
    batch, _, height, width = blocks.shape
    values = torch.empty(batch, 0, height * width, device=blocks.device)
    ids = torch.empty(batch, 0, height * width, dtype=torch.long, device=blocks.device)
    first = 0
    for block in blocks:
        best = best_in_order(block.flatten(2), min(top, block.shape[1]))
        ids = torch.cat([ids, best + first], dim=1)
        values = torch.cat([values, block.flatten(2).gather(1, best)], dim=1)
        order = values.sort(dim=1, descending=True, stable=True).indices[:, :top]  # earlier blocks have lower ids
        ids, values = ids.gather(1, order), values.gather(1, order)
        first += block.shape[1]
    return ids


def best_in_order(costs: Tensor, top: int) -> Tensor:
    """The indices of the ``top`` highest costs, of equal ones the lowest: (B, T, N) -> (B, top, N), highest first."""
    best = costs.topk(min(top + 1, costs.shape[1]), dim=1)
    if costs.device.type == "meta":
        return best.indices[:, :top]
    tied = (best.values[:, 1:] == best.values[:, :-1]).any(dim=1)  # topk says nothing about their order
    batch, location = tied.nonzero(as_tuple=True)
    indices = best.indices[:, :top]
    if len(batch):
        ordered = costs[batch, :, location].sort(dim=1, descending=True, stable=True).indices[:, :top]
        indices = indices.clone()
        indices[batch, :, location] = ordered
    return indices


def first_of_each(ranked: Tensor, counts: Tensor, num_names: int) -> Tensor:
    """The first ids of each image: ranked ids (B, K) and numbers (B,) -> (B, K) ascending ids, then -1."""
    taken = torch.arange(ranked.shape[1], device=ranked.device) < counts.unsqueeze(1)
    ids = ranked.masked_fill(~taken, num_names).sort(dim=1).values
    return ids.masked_fill(ids == num_names, -1)


class KeepAll(nn.Module):
    """Keep every class (Table V, "w/o CRM")."""

    takes_blocks = False

    def forward(self, cost_map: Tensor, num_kept: NumKept, present: Tensor | None = None) -> Tensor:
        """(B, T, H, W) -> (B, T) int64: all ids, for every image."""
        return torch.arange(cost_map.shape[1], device=cost_map.device).expand(cost_map.shape[0], -1)
