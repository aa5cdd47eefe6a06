"""Efficient Semantic Context Fusion (III-D): over locations (SFM), then over classes (CFM), on reduced sequences.

Shapes: B images, K classes kept, C channels, H x W locations at stride 16. A cost embedding is (B, K, H, W, C). The
image guidance is the same for every class, and the text guidance for every location. A layer of input and guidance is
split into two products; the guidance's product (its share) is computed once per image. Where images keep different
numbers of classes, ``named`` (B, K) bool is False for slots without a class: no class attends to them.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...errors import ArgumentError
from ..clip.libraries import timm
from ..guidance import guidance_share, with_share
from ..layers import ReLU6, call, in_parts, infers_on_cpu, maps_in_cache, relu6, resize
from .layers import MLP, Attention, StarMLP, init_transformer_weights


def _mlp(dim: int, star: bool) -> nn.Module:
    return StarMLP(dim, 3 * dim) if star else MLP(dim, 3 * dim)


class SSR(nn.Module):
    """Spatial-level Sequence Reduction: one token for every ``ratio`` x ``ratio`` tokens (Eqs. 20 and 21)."""

    def __init__(self, dim: int, ratio: int):
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, kernel_size=ratio, stride=ratio)
        self.norm = nn.LayerNorm(dim)

    def share(self, layer: nn.Linear, guidance: Tensor) -> Tensor:
        """The guidance's share of the convolution: (B, H, W, G) -> (B, 1, dim, H / ratio, W / ratio)."""
        return guidance_share(self.conv, guidance.permute(0, 3, 1, 2)).unsqueeze(1)

    def forward(self, layer: nn.Linear, x: Tensor, share: Tensor | None = None) -> Tensor:
        """``layer`` applied to the reduced tokens: (N, H, W, C) and the share -> (N, H W / ratio^2, C)."""
        reduced = with_share(self.conv, x.permute(0, 3, 1, 2), share)
        return layer(self.norm(reduced.permute(0, 2, 3, 1).flatten(1, 2)))


class NoReduction(nn.Module):
    """The whole sequence of keys and values (Table X, without SSR)."""

    def share(self, layer: nn.Linear, guidance: Tensor) -> Tensor:
        """The guidance's share of the layer: (B, H, W, G) -> (B, 1, H W, C)."""
        return guidance_share(layer, guidance.flatten(1, 2)).unsqueeze(1)

    def forward(self, layer: nn.Linear, x: Tensor, share: Tensor | None = None) -> Tensor:
        """``layer`` applied to every token: (N, H, W, C) and the share -> (N, H W, C)."""
        return with_share(layer, x.flatten(1, 2), share)


class SFM(nn.Module):
    """Spatial-level Fusion Module: attention over locations, for each class separately, guided by the image.

    Args:
        dim: C.
        num_heads: attention heads.
        ssr_ratio: sequence reduction of keys and values in each direction; 1 for none.
        star: True for the star operation in the MLP, False for a plain MLP.
        drop_path: probability that a branch is skipped for the map of a class in training.
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
        self.drop_path = timm.layers.DropPath(drop_path)
        self.apply(init_transformer_weights)

    def forward(self, x: Tensor, image_guidance: Tensor, text_guidance: Tensor, named: Tensor | None = None) -> Tensor:
        """(B, K, H, W, C) and image guidance (B, H, W, C) -> (B, K, H, W, C). The other two are not used."""
        q_share = guidance_share(self.attention.q, image_guidance.flatten(1, 2)).unsqueeze(1)
        k_share = self.reduce_k.share(self.attention.k, image_guidance)
        return in_parts(self.fuse, x.flatten(0, 1), q_share, k_share).unflatten(0, x.shape[:2])

    def fuse(self, x: Tensor, q_share: Tensor, k_share: Tensor) -> Tensor:
        """The block for N maps of single classes: (N, H, W, C), the guidance's shares of q and k -> (N, H, W, C)."""
        z = self.norm1(x)
        q = with_share(self.attention.q, z.flatten(1, 2), q_share)
        k = self.reduce_k(self.attention.k, z, k_share)
        v = self.reduce_v(self.attention.v, z)
        x = x + self.drop_path(self.attention(q, k, v).view_as(x))
        mixed = self.mlp(self.norm2(x)).permute(0, 3, 1, 2)
        return x + self.drop_path(self.dwconv(mixed).permute(0, 2, 3, 1))


class CFM(nn.Module):
    """Class-level Fusion Module: attention over classes, for each location separately, guided by the text.

    Args:
        dim, num_heads, star, drop_path: see SFM; drop-path skips a branch for the sequence of a location.
    """

    def __init__(self, dim: int, num_heads: int, star: bool = True, drop_path: float = 0.0):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, 2 * dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = _mlp(dim, star)
        self.drop_path = timm.layers.DropPath(drop_path)
        self.apply(init_transformer_weights)

    def forward(self, x: Tensor, image_guidance: Tensor, text_guidance: Tensor, named: Tensor | None = None) -> Tensor:
        """(B, K, H, W, C) and text guidance (B, K, C) -> (B, K, H, W, C). The image guidance is not used."""
        batch, _, height, width, _ = x.shape
        shares = (guidance_share(layer, text_guidance).unsqueeze(1) for layer in (self.attention.q, self.attention.k))
        tokens = x.permute(0, 2, 3, 1, 4).flatten(0, 2)  # (B H W, K, C)
        fused = in_parts(self.fuse, tokens, *shares, None if named is None else named.unsqueeze(1))
        return fused.unflatten(0, (batch, height, width)).permute(0, 3, 1, 2, 4).contiguous()

    def fuse(self, x: Tensor, q_share: Tensor, k_share: Tensor, named: Tensor | None = None) -> Tensor:
        """The block for N sequences of classes: (N, K, C), the guidance's shares of q and k -> (N, K, C)."""
        z = self.norm1(x)
        q = with_share(self.attention.q, z, q_share)
        k = with_share(self.attention.k, z, k_share)
        x = x + self.drop_path(self.attention(q, k, self.attention.v(z), named))
        return x + self.drop_path(relu6(self.mlp(self.norm2(x))))


class CSR(nn.Module):
    """Class-level Sequence Reduction: average-pool, fuse, resize back, add the un-pooled input."""

    def __init__(self, fusion: nn.Module, ratio: int):
        super().__init__()
        self.fusion = fusion
        self.pool = nn.AvgPool2d(ratio)

    def forward(self, x: Tensor, image_guidance: Tensor, text_guidance: Tensor, named: Tensor | None = None) -> Tensor:
        """(B, K, H, W, C) and text guidance (B, K, C) -> (B, K, H, W, C). The image guidance is not used."""
        pooled = self.pool(x.flatten(0, 1).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        fused = self.fusion(pooled.unflatten(0, x.shape[:2]), image_guidance, text_guidance, named)
        return add_resized(x.flatten(0, 1), fused.flatten(0, 1)).unflatten(0, x.shape[:2])


def add_resized(x: Tensor, pooled: Tensor) -> Tensor:
    """Add maps of another size, resized with aligned corners: (N, H, W, C) and (N, h, w, C) -> (N, H, W, C)."""
    if not infers_on_cpu(x):
        return x + _resized(pooled, x)
    out, step = torch.empty_like(x), maps_in_cache(x)
    for part, small, target in zip(x.split(step), pooled.split(step), out.split(step), strict=True):
        torch.add(part, _resized(small, part), out=target)
    return out


def _resized(pooled: Tensor, like: Tensor) -> Tensor:
    return resize(pooled.permute(0, 3, 1, 2), like.shape[1:3], align_corners=True).permute(0, 2, 3, 1)


class ESCF(nn.Module):
    """The stack of fusion layers and the two guidances that they share.

    Args:
        image_dims: channels of the maps that guide SFM, coarsest first.
        text_dim: D, the dimension of the text embeddings.
        dim, num_heads, num_layers: C, attention heads, layers.
        sfm, cfm: whether a layer has an SFM and a CFM (Table VIII).
        ssr_ratio, csr_ratio: the sequence reductions; 1 for none (Table X).
        star: the star operation in the MLPs (Table IX).
        drop_path: the probability in layer 1; in layer i (from 0) it is i times this value.
        run: calls a layer in training: ``call``, or ``recompute`` to save memory.
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
        run: Callable = call,
    ):
        super().__init__()
        self.run = run
        if not (sfm or cfm):
            raise ArgumentError("{sfm} and {cfm} are both False; set {enabled} False instead.")
        for name, ratio in (("ssr_ratio", ssr_ratio), ("csr_ratio", csr_ratio)):
            if ratio < 1:
                raise ArgumentError(f"{{{name}}} = %s; give 1 for no reduction, or more.", ratio)
        self.image_guidance = ImageGuidance(image_dims, dim) if sfm else Unguided()
        self.text_guidance = nn.Sequential(nn.Linear(text_dim, dim), nn.GELU()) if cfm else Unguided()
        self.modules_of_layer = sfm + cfm
        self.layers = nn.ModuleList()
        for i in range(num_layers):
            if sfm:
                self.layers.append(SFM(dim, num_heads, ssr_ratio, star, i * drop_path))
            if cfm:
                fusion = CFM(dim, num_heads, star, i * drop_path)
                self.layers.append(CSR(fusion, csr_ratio) if csr_ratio > 1 else fusion)

    def forward(
        self,
        x: Tensor,
        maps: list[Tensor],
        text: Tensor,
        num_layers: int | None = None,
        named: Tensor | None = None,
    ) -> Tensor:
        """Fuse context into the cost embedding.

        Args:
            x: (B, K, H, W, C).
            maps: the guiding feature maps, coarsest first, each (B, image_dims[i], h, w).
            text: (B, K, D) normalised embeddings of the classes kept.
            num_layers: number of layers to run, each an SFM and a CFM; None for all.
            named: (B, K) bool, the slots that hold a class; None: all.

        Returns:
            (B, K, H, W, C).
        """
        image_guidance = self.image_guidance(maps, x.shape[2:4])
        return self.fuse(x, image_guidance, self.text_guidance(text.to(x.dtype)), num_layers, named)

    def fuse(
        self,
        x: Tensor,
        image_guidance: Tensor,
        text_guidance: Tensor,
        num_layers: int | None = None,
        named: Tensor | None = None,
    ) -> Tensor:
        """Only the layers: (B, K, H, W, C), (B, H, W, C), (B, K, C), (B, K) -> (B, K, H, W, C)."""
        modules = len(self.layers) if num_layers is None else num_layers * self.modules_of_layer
        for module in list(self.layers)[:modules]:
            x = self.run(module, x, image_guidance, text_guidance, *([] if named is None else [named]))
        return x


class Unguided(nn.Module):
    """Replaces a guidance that no layer uses."""

    def forward(self, *_) -> None:
        return None


class ImageGuidance(nn.Module):
    """Project each feature map to 2 C channels, resize all maps to stride 16, average, fuse to C channels."""

    def __init__(self, image_dims: tuple[int, ...], dim: int):
        super().__init__()
        self.proj = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, 2 * dim, kernel_size=3, padding=1), ReLU6()) for width in image_dims
        )
        self.fuse = nn.Conv2d(2 * dim, dim, kernel_size=1)

    def forward(self, maps: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Maps (B, image_dims[i], h, w) and (H, W) -> (B, H, W, C)."""
        projected = [resize(proj(x), size) for proj, x in zip(self.proj, maps, strict=True)]
        return self.fuse(torch.stack(projected).mean(0)).permute(0, 2, 3, 1)
