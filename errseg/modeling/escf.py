"""Efficient Semantic Context Fusion (III-D): over locations (SFM), then over classes (CFM), on reduced sequences.

Shapes: B images, K classes kept, C channels, H x W locations at stride 16. A cost embedding is (B, K, C, H, W).
"""

import torch
import torch.nn.functional as F
from timm.layers import DropPath
from torch import Tensor, nn

from ..errors import UsageError
from .layers import Attention, PlainMLP, StarMLP, init_transformer_weights, resize


def _mlp(dim: int, star: bool) -> nn.Module:
    return StarMLP(dim, 3 * dim) if star else PlainMLP(dim, 3 * dim)


class SSR(nn.Module):
    """Spatial-level Sequence Reduction: one token for every ``ratio`` x ``ratio`` of them (Eqs. 20 and 21)."""

    def __init__(self, dim: int, ratio: int):
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, kernel_size=ratio, stride=ratio)
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """(N, H W, C) of a map of ``size`` (H, W) -> (N, H W / ratio^2, C)."""
        x = self.conv(tokens.transpose(1, 2).unflatten(2, size))
        return self.norm(x.flatten(2).transpose(1, 2))


class NoReduction(nn.Module):
    """The whole sequence of keys and values (Table X, without SSR)."""

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """(N, H W, C) -> the same."""
        return tokens


class SFM(nn.Module):
    """Spatial-level Fusion Module: every class on its own, attention over locations under the image guidance.

    Args:
        dim: C.
        num_heads: attention heads.
        ssr_ratio: sequence reduction of keys and values in each direction; 1 for none.
        star: the star operation in the MLP, or a plain MLP.
        drop_path: probability to skip a branch of one class's map in training.
    """

    def __init__(self, dim: int, num_heads: int, ssr_ratio: int = 2, star: bool = True, drop_path: float = 0.0):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.reduce_k = SSR(2 * dim, ssr_ratio) if ssr_ratio > 1 else NoReduction()
        self.reduce_v = SSR(dim, ssr_ratio) if ssr_ratio > 1 else NoReduction()
        self.attention = Attention(dim, 2 * dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = _mlp(dim, star)
        self.dwconv = nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.drop_path = DropPath(drop_path)
        self.apply(init_transformer_weights)

    def forward(self, x: Tensor, image_guidance: Tensor, text_guidance: Tensor) -> Tensor:
        """(B, K, C, H, W), (B, C, H, W), unused -> (B, K, C, H, W)."""
        batch_classes, size = x.shape[:2], x.shape[-2:]
        guidance = image_guidance.flatten(2).transpose(1, 2).repeat_interleave(batch_classes[1], dim=0)
        tokens = x.flatten(0, 1).flatten(2).transpose(1, 2)  # (B K, H W, C)
        z = self.norm1(tokens)
        guided = torch.cat([z, guidance], dim=-1)
        attended = self.attention(guided, self.reduce_k(guided, size), self.reduce_v(z, size))
        tokens = tokens + self.drop_path(attended)
        mixed = self.mlp(self.norm2(tokens)).transpose(1, 2).unflatten(2, size)
        mixed = self.dwconv(mixed).flatten(2).transpose(1, 2)
        tokens = tokens + self.drop_path(mixed)
        return tokens.transpose(1, 2).unflatten(2, size).unflatten(0, batch_classes)


class CFM(nn.Module):
    """Class-level Fusion Module: every location on its own, attention over classes under the text guidance.

    Args:
        dim, num_heads, star, drop_path: as SFM's; drop-path skips a branch of one location's sequence.
    """

    def __init__(self, dim: int, num_heads: int, star: bool = True, drop_path: float = 0.0):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, 2 * dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = _mlp(dim, star)
        self.drop_path = DropPath(drop_path)
        self.apply(init_transformer_weights)

    def forward(self, x: Tensor, image_guidance: Tensor, text_guidance: Tensor) -> Tensor:
        """(B, K, C, H, W), unused, (B, K, C) -> (B, K, C, H, W)."""
        batch, _, _, height, width = x.shape
        guidance = text_guidance.repeat_interleave(height * width, dim=0)
        tokens = x.permute(0, 3, 4, 1, 2).flatten(0, 2)  # (B H W, K, C)
        z = self.norm1(tokens)
        guided = torch.cat([z, guidance], dim=-1)
        tokens = tokens + self.drop_path(self.attention(guided, guided, z))
        tokens = tokens + self.drop_path(F.relu6(self.mlp(self.norm2(tokens))))
        return tokens.unflatten(0, (batch, height, width)).permute(0, 3, 4, 1, 2)


class CSR(nn.Module):
    """Class-level Sequence Reduction: fuse on an average-pooled map, resize back, add the un-pooled input once more."""

    def __init__(self, fusion: nn.Module, ratio: int):
        super().__init__()
        self.fusion = fusion
        self.pool = nn.AvgPool2d(ratio)

    def forward(self, x: Tensor, image_guidance: Tensor, text_guidance: Tensor) -> Tensor:
        """(B, K, C, H, W), unused, (B, K, C) -> (B, K, C, H, W)."""
        batch_classes, size = x.shape[:2], x.shape[-2:]
        pooled = self.pool(x.flatten(0, 1)).unflatten(0, batch_classes)
        fused = self.fusion(pooled, image_guidance, text_guidance)
        return x + resize(fused.flatten(0, 1), size, align_corners=True).unflatten(0, batch_classes)


class ESCF(nn.Module):
    """The stack of fusion layers and the two guidances that they share.

    Args:
        image_dims: channels of the maps that guide SFM, coarsest first.
        text_dim: D.
        dim, num_heads, num_layers: C, attention heads, layers.
        sfm, cfm: which of the two modules a layer has (Table VIII).
        ssr_ratio, csr_ratio: the sequence reductions; 1 for none (Table X).
        star: the star operation in the MLPs (Table IX).
        drop_path: of layer 1; layer i has i times as much.
    """

    def __init__(
        self,
        image_dims: tuple[int, ...],
        text_dim: int,
        dim: int = 128,
        num_heads: int = 4,
        num_layers: int = 4,
        sfm: bool = True,
        cfm: bool = True,
        ssr_ratio: int = 2,
        csr_ratio: int = 2,
        star: bool = True,
        drop_path: float = 0.025,
    ):
        super().__init__()
        if not (sfm or cfm):
            raise UsageError("MODEL.ESCF.SFM and MODEL.ESCF.CFM are both False; set MODEL.ESCF.ENABLED False instead.")
        for key, ratio in (("SSR", ssr_ratio), ("CSR", csr_ratio)):
            if ratio < 1:
                raise UsageError(f"MODEL.ESCF.{key}_RATIO = {ratio}; give 1 for no reduction, or more.")
        self.image_guidance = ImageGuidance(image_dims, dim) if sfm else Unguided()
        self.text_guidance = nn.Sequential(nn.Linear(text_dim, dim), nn.GELU()) if cfm else Unguided()
        self.layers = nn.ModuleList()
        for i in range(num_layers):
            if sfm:
                self.layers.append(SFM(dim, num_heads, ssr_ratio, star, i * drop_path))
            if cfm:
                fusion = CFM(dim, num_heads, star, i * drop_path)
                self.layers.append(CSR(fusion, csr_ratio) if csr_ratio > 1 else fusion)

    def forward(self, x: Tensor, maps: list[Tensor], text: Tensor) -> Tensor:
        """Fuse context into the cost embedding.

        Args:
            x: (B, K, C, H, W).
            maps: the guiding feature maps, coarsest first, each (B, image_dims[i], h, w).
            text: (B, K, D) normalised embeddings of the classes kept.

        Returns:
            (B, K, C, H, W).
        """
        image_guidance = self.image_guidance(maps, x.shape[-2:])
        text_guidance = self.text_guidance(text)
        for layer in self.layers:
            x = layer(x, image_guidance, text_guidance)
        return x


class Unguided(nn.Module):
    """In place of a guidance that no layer looks at."""

    def forward(self, *_) -> None:
        return None


class ImageGuidance(nn.Module):
    """Project each feature map to 2 C channels, bring all to stride 16, average, fuse to C."""

    def __init__(self, image_dims: tuple[int, ...], dim: int):
        super().__init__()
        self.proj = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, 2 * dim, kernel_size=3, padding=1), nn.ReLU6()) for width in image_dims
        )
        self.fuse = nn.Conv2d(2 * dim, dim, kernel_size=1)

    def forward(self, maps: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Maps (B, image_dims[i], h, w) and (H, W) -> (B, C, H, W)."""
        projected = [resize(proj(x), size) for proj, x in zip(self.proj, maps, strict=True)]
        return self.fuse(torch.stack(projected).mean(0))
