"""Hierarchical Semantic Module (III-B): merge the cost maps of two scales into the cost embedding.

Shapes: B images, K classes kept, C channels of the cost embedding, H x W locations at stride 16.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import resize


def project(cost: Tensor, proj: Any, fuse: Any) -> Tensor:
    """``fuse(proj(cost))`` without ``fuse``'s bias, as one convolution: there is no nonlinearity between them.

    (B, K, h, w) -> (B K, C, h, w), channels last in memory.
    """
    fused = fuse.weight.flatten(1)  # (C, 2 C)
    weight = (fused @ proj.weight.flatten(1)).view(-1, *proj.weight.shape[1:])
    cost = cost.flatten(0, 1).unsqueeze(3).permute(0, 3, 1, 2).to(weight.dtype)
    weight = weight.to(memory_format=torch.channels_last)
    bias = F.linear(proj.bias, fused)  # not fused @ bias: operation counters do not count matrix-vector products
    return F.conv2d(cost, weight, bias, padding=proj.padding)


class HSM(nn.Module):
    """Project the cost maps of E16 and E32 for each class separately, average, fuse (Eq. 4). There is no nonlinearity.

    Args:
        dim: C; each scale is projected to 2 C channels first.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.proj16 = nn.Conv2d(1, 2 * dim, kernel_size=7, padding=3)
        self.proj32 = nn.Conv2d(1, 2 * dim, kernel_size=7, padding=3)
        self.fuse: Any = nn.Conv2d(2 * dim, dim, kernel_size=1)

    def forward(self, cost16: Tensor, cost32: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, K, H, W), (B, K, h, w) and (H, W) -> (B, K, H, W, C)."""
        x16 = project(cost16, self.proj16, self.fuse)
        x32 = project(cost32, self.proj32, self.fuse)
        x = ((x16 + resize(x32, size)) / 2).permute(0, 2, 3, 1) + self.fuse.bias
        return x.contiguous().unflatten(0, cost16.shape[:2])


class SingleScale(nn.Module):
    """Project a single cost map (Table V, "w/o HSM"; plain ViT encoders, which have one scale)."""

    def __init__(self, dim: int):
        super().__init__()
        self.proj = nn.Conv2d(1, 2 * dim, kernel_size=7, padding=3)
        self.fuse: Any = nn.Conv2d(2 * dim, dim, kernel_size=1)

    def forward(self, cost: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, K, h, w) and (H, W) -> (B, K, H, W, C)."""
        x = project(resize(cost, size), self.proj, self.fuse).permute(0, 2, 3, 1) + self.fuse.bias
        return x.contiguous().unflatten(0, cost.shape[:2])
