"""ERR-Seg for the export: without the text tower, and with a CRM whose numbers are unknown when it is traced.

Shapes: B images, T names, K names kept, H x W locations at stride 16.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import with_module
from ..num_kept import AutoKept, NumKept
from .crm import CRM, first_of_each


class TracedCRM(nn.Module):
    """CRM for a K that fits the image, which is unknown at tracing. At least two names are in the vocabulary.

    Args:
        crm: the CRM that it replaces.
    """

    takes_blocks = False  # the number of classes may be unknown

    def __init__(self, crm: CRM):
        super().__init__()
        self.crm = crm

    def forward(self, cost_map: Tensor, num_kept: NumKept, present: Tensor | None = None) -> Tensor:
        """See ``CRM.forward``. With an ``AutoKept``, K is at least 2: the exporter treats a size of 1 apart."""
        if not isinstance(num_kept, AutoKept):
            return self.crm(cost_map, num_kept, present)
        points = self.scores(cost_map) / cost_map[0, 0].numel()
        counts = num_kept.counts(points, present)
        slots: Any = counts.max().clamp(min=2).item()
        torch._check(slots >= 2)
        torch._check(slots <= points.shape[1])
        ranked = points.sort(dim=1, descending=True, stable=True).indices
        return first_of_each(ranked.narrow(1, 0, slots), counts, points.shape[1])

    def scores(self, cost_map: Tensor) -> Tensor:
        """See ``CRM.scores``."""
        return self.crm.scores(cost_map)


class AnyNumberCRM(TracedCRM):
    """CRM for a number of names that is unknown at tracing: keeps the K best, or all where T <= K."""

    def scores(self, cost_map: Tensor) -> Tensor:
        """See ``CRM.scores``."""
        spare = self.crm.top_categories  # extra classes of the lowest rank: every location then has enough
        return self.crm.scores(F.pad(cost_map, (0, 0, 0, 0, 0, spare), value=-2.0))[:, : cost_map.shape[1]]

    def forward(self, cost_map: Tensor, num_kept: NumKept, present: Tensor | None = None) -> Tensor:
        """(B, T, H, W) -> (B, min(K, T)) int64 ids, ascending; see ``CRM.forward``."""
        if isinstance(num_kept, AutoKept):
            return super().forward(cost_map, num_kept, present)
        scores = self.scores(cost_map)
        place = scores.sort(dim=1, descending=True, stable=True).indices.argsort(dim=1)  # place of a class, 0 the best
        # Unlike a slice, topk is traced for T <= K and T > K at once
        best = place.topk(torch.sym_min(num_kept, cost_map.shape[1]), dim=1, largest=False)
        return best.indices.sort(dim=1).values


def exportable(model: Any, open_vocabulary: bool) -> nn.Module:
    """A shallow copy of an ERR-Seg that can be traced. It shares the weights; the model itself does not change.

    Args:
        model: an ERR-Seg.
        open_vocabulary: the number of names is unknown when the model is traced.
    """
    clip = nn.Module()
    clip.visual = model.backbone.clip.visual
    other = with_module(model, "backbone", with_module(model.backbone, "clip", clip))
    crm = model.sem_seg_head.crm
    if isinstance(crm, CRM):
        traced = AnyNumberCRM(crm) if open_vocabulary else TracedCRM(crm)
        head = with_module(model.sem_seg_head, "crm", traced)
        other = with_module(other, "sem_seg_head", head)
    return other
