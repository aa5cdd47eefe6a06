"""The skip-layer fusion module: upsample, concatenate with the guidance, two 3x3 convolutions (section 5).

The formula concatenates [upsampled map; image guidance; cost guidance]. Convolutions are linear, so that the first one
is a sum of three. The part over the image guidance is the same for every name and computed once an image. The part over
the upsampled map is merged with the transposed convolution that makes it.

Shapes: B images, N maps of single names (T for each image), C channels, o output channels, h x w locations.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ArgumentError
from ..guidance import add_share
from ..upsampling import double_conv, merged_conv, merged_weight, norm_groups
from .cost import CostGuidance, FeatureGuidance, Unguided
from .parts import over_names

__all__ = ["SkipFusion"]


class SkipFusion(nn.Module):
    """Double the size of the map of each name, guided by the image and by the cost map.

    Args:
        dim, out_dim: channels before and after.
        features: the image guidance.
        costs: the cost guidance.

    Raises:
        ArgumentError: the groups of a group norm do not divide the output's channels.
    """

    def __init__(self, dim: int, out_dim: int, features: FeatureGuidance | Unguided, costs: CostGuidance | Unguided):
        super().__init__()
        if out_dim % norm_groups(out_dim):
            raise ArgumentError(
                "{dim}: a stage has %s output channels, which do not split into groups of 16; give 32, 64 or 128.",
                out_dim,
            )
        self.features: Any = features
        self.costs: Any = costs
        self.up = nn.ConvTranspose2d(dim, dim - out_dim // 2, kernel_size=2, stride=2)
        self.refine: Any = double_conv(self.up.out_channels + features.dim + costs.dim, out_dim)

    def forward(
        self, x: Tensor, costs: Tensor, image: Tensor, then: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Upsample.

        Args:
            x: (N, C, h, w).
            costs: (N, ., h, w), the cost guidance of the stage before, or the cost map.
            image: (B, ., 2 h, 2 w), a feature map.
            then: what is applied to the result, (n, o, 2 h, 2 w) to (n, ., 2 h, 2 w), such as a head.

        Returns:
            (N, o, 2 h, 2 w), or what ``then`` makes of it.
        """
        share = self.share(self.features(image))
        weight = merged_weight(self.up.weight, self.refine[0].weight[:, : self.up.out_channels])

        def fuse(x: Tensor, costs: Tensor, share: Tensor) -> Tensor:
            y = add_share(merged_conv(x, weight), share.unsqueeze(1))
            y = self.refine[1:](self.add_guidance(y, self.costs(costs)))
            return y if then is None else then(y)

        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return fuse(x, costs, share)
        images = [  # a part has names of one image
            over_names(partial(fuse, share=share[i : i + 1]), *of_image, elements=2 * x[0].numel())
            for i, of_image in enumerate(zip(x.chunk(len(image)), costs.chunk(len(image)), strict=True))
        ]
        return images[0] if len(images) == 1 else torch.cat(images)

    def guide(self, costs: Tensor) -> Tensor:
        """The cost guidance of this stage, for the next one: (N, ., h, w) -> (N, ., 2 h, 2 w)."""
        height, width = costs.shape[-2:]
        return over_names(self.costs, costs, elements=4 * height * width * max(self.costs.dim, 1))

    def share(self, guidance: Tensor) -> Tensor:
        """What the first convolution makes of the same for all names: (B, ., H, W) -> (B, o, H, W).

        That is the image guidance, and the bias of the transposed convolution, which the zeros outside of the map do
        not have.
        """
        bias: Any = self.up.bias
        bias = bias.view(1, -1, 1, 1).expand(guidance.shape[0], -1, *guidance.shape[-2:])
        known = torch.cat([bias, guidance], dim=1)
        share = F.conv2d(known, self.refine[0].weight[:, : known.shape[1]], padding=1)
        return share.contiguous(memory_format=torch.channels_last)  # as the maps to which it is added

    def add_guidance(self, y: Tensor, guidance: Tensor) -> Tensor:
        """Add what the first convolution makes of the cost guidance, in place: (n, o, H, W), (n, ., H, W)."""
        if not guidance.shape[1]:
            return y
        return y.add_(F.conv2d(guidance, self.refine[0].weight[:, -guidance.shape[1] :], padding=1))
