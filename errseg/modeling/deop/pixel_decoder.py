"""The pixel decoder: from the maps of a backbone to one map of pixel embeddings at stride 4.

Shapes: B images, C channels, ``res2 … res5`` at strides 4, 8, 16 and 32.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from detectron2.modeling import ShapeSpec
from torch import Tensor, nn

from ...errors import ArgumentError

__all__ = ["NormedConv2d", "PixelDecoder", "xavier_as_caffe2"]

GROUPS = 32


class NormedConv2d(nn.Conv2d):
    """A convolution without bias that keeps the size, followed by the GroupNorm in its attribute ``norm``."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = Norm(GROUPS, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W)."""
        return self.norm(super().forward(x))


class Norm(nn.GroupNorm):
    """A GroupNorm that also takes groups of a single value, as of a picture of one location; their norm is 0."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class PixelDecoder(nn.Module):
    """A feature pyramid from the coarsest map to the finest (contract, section 2).

    Args:
        input_shape: the maps of the backbone; they are used in the order of their strides.
        dim: C, a multiple of 32.

    Raises:
        ArgumentError: ``dim`` is no multiple of 32, the number of groups of the norms.
    """

    def __init__(self, input_shape: Mapping[str, ShapeSpec], dim: int):
        super().__init__()
        if dim < 1 or dim % GROUPS:
            raise ArgumentError("{dim} = %s is no multiple of %s, the number of groups; choose one.", dim, GROUPS)
        self.names = sorted(input_shape, key=lambda name: input_shape[name].stride or 0)
        channels = [input_shape[name].channels for name in self.names]
        for index, width in enumerate(channels[:-1], 1):
            self.add_module(f"adapter_{index}", NormedConv2d(width, dim, 1))
            self.add_module(f"layer_{index}", NormedConv2d(dim, dim, 3))
        self.add_module(f"layer_{len(channels)}", NormedConv2d(channels[-1], dim, 3))
        self.mask_features = nn.Conv2d(dim, dim, 3, padding=1)
        for module in self.modules():
            xavier_as_caffe2(module)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """res2 … res5 -> P (B, C, H/4, W/4)."""
        maps = [features[name].to(self.mask_features.weight.dtype) for name in self.names]
        x = F.relu(self.get_submodule(f"layer_{len(maps)}")(maps[-1]), inplace=True)
        for index in range(len(maps) - 1, 0, -1):
            fine = self.get_submodule(f"adapter_{index}")(maps[index - 1])
            x = fine + F.interpolate(x, size=fine.shape[-2:], mode="nearest")
            x = F.relu(self.get_submodule(f"layer_{index}")(x), inplace=True)
        return self.mask_features(x)


def xavier_as_caffe2(module: nn.Module) -> None:
    """Initialise a convolution uniformly with the variance 1 / fan-in, and its bias with zero; no other module."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_uniform_(module.weight, a=1)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
