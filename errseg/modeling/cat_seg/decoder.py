"""The decoder (section 6): from the aggregated map of each class to logits at four times its size.

A transposed 2 x 2 convolution of stride 2 and the 3 x 3 convolution after it, with nothing between, are one
convolution; see ``upsampling``. The guidance is the same for every class: its
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
from ..upsampling import double_conv, merged_conv, merged_weight, norm_groups

__all__ = ["Decoder", "UpsampleStage"]


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
        if out_dim % norm_groups(out_dim):
            raise ArgumentError(
                "{dims}: %s channels do not split into %s groups; give a multiple of 16.", out_dim, norm_groups(out_dim)
            )
        if guidance_dim >= in_dim:
            raise ArgumentError("{dims}: %s channels leave none beside the guidance's %s.", in_dim, guidance_dim)
        self.up: Any = nn.ConvTranspose2d(in_dim, in_dim - guidance_dim, 2, 2)
        self.refine: Any = double_conv(in_dim, out_dim)

    def kernel(self) -> Tensor:
        """The merged kernel; see ``merged_weight``."""
        return merged_weight(self.up.weight, self.refine[0].weight[:, : self.up.out_channels])

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
        return self.refine[1:](add_share(merged_conv(x, kernel), share))


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
