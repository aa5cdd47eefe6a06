"""Hierarchical Semantic Module (III-B): merge the cost maps of two scales into the cost embedding.

Shapes: B images, K classes kept, C channels of the cost embedding, H x W locations at stride 16.
"""

from torch import Tensor, nn

from .layers import resize


class HSM(nn.Module):
    """Project the cost maps of E16 and E32 one class at a time, average them, fuse (Eq. 4). There is no nonlinearity.

    Args:
        dim: C; each scale is projected to 2 C channels first.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.proj16 = nn.Conv2d(1, 2 * dim, kernel_size=7, padding=3)
        self.proj32 = nn.Conv2d(1, 2 * dim, kernel_size=7, padding=3)
        self.fuse = nn.Conv2d(2 * dim, dim, kernel_size=1)

    def forward(self, cost16: Tensor, cost32: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, K, H, W), (B, K, h, w) and (H, W) -> (B, K, C, H, W)."""
        x16 = self.proj16(cost16.flatten(0, 1).unsqueeze(1))
        x32 = self.proj32(cost32.flatten(0, 1).unsqueeze(1))
        return self.fuse((x16 + resize(x32, size)) / 2).unflatten(0, cost16.shape[:2])


class SingleScale(nn.Module):
    """Project one cost map alone (Table V, "w/o HSM"; plain ViT encoders, which have one scale)."""

    def __init__(self, dim: int):
        super().__init__()
        self.proj = nn.Conv2d(1, 2 * dim, kernel_size=7, padding=3)
        self.fuse = nn.Conv2d(2 * dim, dim, kernel_size=1)

    def forward(self, cost: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, K, h, w) and (H, W) -> (B, K, C, H, W)."""
        x = resize(cost, size).flatten(0, 1).unsqueeze(1)
        return self.fuse(self.proj(x)).unflatten(0, cost.shape[:2])
