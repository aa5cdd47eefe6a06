"""The decoder (section 6): from the aggregated map of each class to logits at four times its size.

A transposed 2 x 2 convolution of stride 2 and the 3 x 3 convolution after it, with nothing between, are one
convolution with 2 x 2 taps for each of the four positions in a cell. The guidance is the same for every class: its
share of the 3 x 3 convolution is computed once for an image, together with that of the transposed convolution's bias.

Shapes: N maps of single classes, B images, h x w locations, G channels of the guidance.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ArgumentError
from ..guidance import add_share
from ..layers import call, in_parts

__all__ = ["Decoder", "UpsampleStage", "merged_kernel"]

# For an output row 2 i + p, input row i + p - 1 + t reaches it by rows (d, a) of the 3 x 3 and of the 2 x 2 kernel
TAPS = {(0, 0): ((0, 1),), (0, 1): ((1, 0), (2, 1)), (1, 0): ((0, 0), (1, 1)), (1, 1): ((2, 0),)}  # (p, t)


def merged_kernel(up: Tensor, conv: Tensor) -> Tensor:
    """One kernel for a transposed convolution of stride 2 and a 3 x 3 convolution after it.

    Args:
        up: (I, M, 2, 2), the weight of the transposed convolution.
        conv: (O, M, 3, 3), the weight of the convolution, of these M channels.

    Returns:
        (4 O, I, 2, 2): for each position (p, q) in a cell of 2 x 2, row by row, O kernels.
    """
    ways = up.new_zeros(2, 2, 3, 2)  # p, t, d, a
    for (p, t), pairs in TAPS.items():
        for d, a in pairs:
            ways[p, t, d, a] = 1
    products = torch.einsum("omde,imab->oidaeb", conv, up)
    kernel = torch.einsum("ptda,oidaeb->ptoieb", ways, products)
    return torch.einsum("qseb,ptoieb->pqoits", ways, kernel).flatten(0, 2)


class UpsampleStage(nn.Module):
    """Upsample the map of a class by 2, guide it by the image, refine it with two convolutions.

    Args:
        in_dim, out_dim: channels before and after.
        guidance_dim: G; 0 for no guidance.

    Raises:
        ArgumentError: ``out_dim`` does not split into groups of 16 channels or more.
    """

    def __init__(self, in_dim: int, out_dim: int, guidance_dim: int):
        super().__init__()
        groups = max(out_dim // 16, 1)
        if out_dim % groups:
            raise ArgumentError(
                "{dims}: %s channels do not split into %s groups; give a multiple of 16.", out_dim, groups
            )
        if guidance_dim >= in_dim:
            raise ArgumentError("{dims}: %s channels leave none beside the guidance's %s.", in_dim, guidance_dim)
        self.up: Any = nn.ConvTranspose2d(in_dim, in_dim - guidance_dim, 2, 2)
        layers: list[nn.Module] = []
        for width in (in_dim, out_dim):
            layers += [
                nn.Conv2d(width, out_dim, 3, padding=1, bias=False),
                nn.GroupNorm(groups, out_dim),
                nn.ReLU(inplace=True),
            ]
        self.refine: Any = nn.Sequential(*layers)

    def kernel(self) -> Tensor:
        """The merged kernel: (4 out_dim, in_dim, 2, 2)."""
        return merged_kernel(self.up.weight, self.refine[0].weight[:, : self.up.out_channels])

    def share(self, guidance: Tensor | None, size: tuple[int, int]) -> Tensor:
        """The share of the guidance and of the transposed convolution's bias.

        Args:
            guidance: (B, G, 2 h, 2 w), or None.
            size: 2 h and 2 w.

        Returns:
            (B or 1, 1, out_dim, 2 h, 2 w).
        """
        bias = self.up.bias.view(1, -1, 1, 1)
        if guidance is None:
            beside = bias.expand(1, -1, *size)
        else:
            beside = torch.cat([bias.expand(guidance.shape[0], -1, *size), guidance], dim=1)
        share = F.conv2d(beside, self.refine[0].weight, padding=1)
        return share.contiguous(memory_format=torch.channels_last).unsqueeze(1)

    def forward(self, x: Tensor, share: Tensor, kernel: Tensor) -> Tensor:
        """(N, in_dim, h, w), the share and the merged kernel -> (N, out_dim, 2 h, 2 w)."""
        height, width = x.shape[-2:]
        cells = F.conv2d(x, kernel, padding=1)  # (N, 4 out_dim, h + 1, w + 1)
        cells = cells.permute(0, 2, 3, 1).unflatten(3, (2, 2, -1))
        rows = [
            torch.stack([cells[:, p : p + height, q : q + width, p, q] for q in (0, 1)], dim=3) for p in (0, 1)
        ]  # (N, h, w, 2, out_dim) each
        y = torch.stack(rows, dim=2).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
        return self.refine[1:](add_share(y, share))


class Decoder(nn.Module):
    """Two upsampling stages and a 3 x 3 convolution.

    Args:
        dim: C, the width of the aggregated maps.
        image_dims: channels of the features that guide the two stages; empty for no guidance.
        dims: widths of the stages; the guidance of each is projected to half of its width.
        run: calls the stages in training: ``call``, or ``recompute`` to save memory.
    """

    def __init__(self, dim: int, image_dims: Sequence[int], dims: Sequence[int] = (64, 32), run: Callable = call):
        super().__init__()
        if len(dims) != 2:
            raise ArgumentError("{dims} = %s; give the widths of two stages.", list(dims))
        self.run = run
        self.guidance = nn.ModuleList(
            nn.Sequential(nn.Conv2d(image_dim, width // 2, 3, padding=1), nn.ReLU())
            for image_dim, width in zip(image_dims, dims, strict=False)
        )
        guided = [width // 2 if image_dims else 0 for width in dims]
        self.stages: Any = nn.ModuleList(map(UpsampleStage, (dim, dims[0]), dims, guided))
        self.head = nn.Conv2d(dims[1], 1, 3, padding=1)

    def forward(self, x: Tensor, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Decode the aggregated maps.

        Args:
            x: (B, K, h w, C).
            maps: the features that guide the stages, (B, image_dims[i], 2 h, 2 w) and (B, ..., 4 h, 4 w); or none.
            size: h and w.

        Returns:
            Logits (B, K, 4 h, 4 w).
        """
        guidance = [project(each) for project, each in zip(self.guidance, maps, strict=True)]
        shares = []
        for i, stage in enumerate(self.stages):
            scale = 2 ** (i + 1)
            shares.append(stage.share(guidance[i] if guidance else None, (scale * size[0], scale * size[1])))
        decode = partial(self.decode, size=size, kernels=[stage.kernel() for stage in self.stages])
        return in_parts(partial(self.run, decode), x.flatten(0, 1), *shares).unflatten(0, x.shape[:2])

    def decode(self, x: Tensor, *shares: Tensor, size: tuple[int, int], kernels: Sequence[Tensor]) -> Tensor:
        """Maps of single classes (N, h w, C) and the share of each stage -> logits (N, 4 h, 4 w)."""
        x = x.unflatten(1, size).permute(0, 3, 1, 2)
        for stage, share, kernel in zip(self.stages, shares, kernels, strict=True):
            x = stage(x, share, kernel)
        return self.head(x).squeeze(1)
