"""The assignment of ground-truth masks to proposals in stage 2 (section 8 of the contract; MaskFormer).

Shapes: N proposals and G ground-truth masks of an image, L pixels.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Matcher"]

WORST = 1e9  # the cost of a pair whose cost is not finite


class Matcher:
    """Finds the pairs of proposals and ground-truth masks with the least sum of costs (Hungarian algorithm).

    The cost of a pair is a weighted sum of focal and dice loss; classes do not count. Each mask has one proposal, or,
    where there are more masks than proposals, each proposal has one mask.

    Args:
        focal, dice: weights of the costs.
        alpha, gamma: of the focal loss.
    """

    def __init__(self, focal: float = 20.0, dice: float = 1.0, alpha: float = 0.25, gamma: float = 2.0):
        self.focal = focal
        self.dice = dice
        self.alpha = alpha
        self.gamma = gamma

    @torch.no_grad()
    def __call__(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The pairs of one image.

        A cost that is not finite counts as very large, so that the loss, not the assignment, reports it.

        Args:
            logits: (N, h, w) mask logits.
            targets: (G, h, w) bool masks of the same size.

        Returns:
            The indices of the proposals and of their masks, int64, of equal length, on the device of ``logits``.
        """
        from scipy.optimize import linear_sum_assignment  # here: only training needs it, and it is slow to import

        cost = self.cost(logits.float().flatten(1), targets.float().flatten(1)).cpu().numpy()
        proposals, masks = linear_sum_assignment(np.nan_to_num(cost, nan=WORST, posinf=WORST, neginf=WORST))
        return torch.from_numpy(proposals).to(logits.device), torch.from_numpy(masks).to(logits.device)

    def cost(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The costs of all pairs: (N, L) and (G, L) of 0 and 1 -> (N, G)."""
        p = logits.sigmoid()
        if_inside = self.alpha * (1 - p) ** self.gamma * F.softplus(-logits)
        if_outside = (1 - self.alpha) * p**self.gamma * F.softplus(logits)
        focal = ((if_inside - if_outside) @ targets.mT + if_outside.sum(1, keepdim=True)) / logits.shape[1]
        areas = p.sum(1, keepdim=True) + targets.sum(1)
        dice = 1 - (2 * p @ targets.mT + 1) / (areas + 1)
        return self.focal * focal + self.dice * dice
