"""ResNets with frozen batch norms, under Detectron2's parameter names.

Images (B, 3, H, W), both sides multiples of 32, become ``res2 … res5`` at strides 4, 8, 16 and 32. A name with a "c"
has the deep stem of three 3x3 convolutions. All convolutions can be trained; the norms are constants.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import BACKBONE_REGISTRY, Backbone, ShapeSpec
from torch import Tensor, nn

from ..layers import call, recompute
from .frozen_norm import FrozenNormConv2d

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "DeepStem",
    "PlainStem",
    "ResNet",
    "ResNet18c",
    "ResNet18cHalf",
    "ResNet50",
    "ResNet101c",
]


class DeepStem(nn.Module):
    """Three 3x3 convolutions, the first of stride 2, and max-pooling: stride 4.

    Args:
        in_channels: of the images.
        width: channels of the first two convolutions.
        out_channels: channels of the last.
    """

    def __init__(self, in_channels: int, width: int, out_channels: int):
        super().__init__()
        self.out_channels = out_channels
        self.conv1 = FrozenNormConv2d(in_channels, width, 3, stride=2)
        self.conv2 = FrozenNormConv2d(width, width, 3)
        self.conv3 = FrozenNormConv2d(width, out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H/4, W/4)."""
        for convolution in (self.conv1, self.conv2, self.conv3):
            x = F.relu_(convolution(x))
        return F.max_pool2d(x, 3, stride=2, padding=1)


class PlainStem(nn.Module):
    """One 7x7 convolution of stride 2, and max-pooling: stride 4."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.out_channels = out_channels
        self.conv1 = FrozenNormConv2d(in_channels, out_channels, 7, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H/4, W/4)."""
        return F.max_pool2d(F.relu_(self.conv1(x)), 3, stride=2, padding=1)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; the first has the stride.

    Args:
        in_channels: of the input.
        width: channels of both convolutions.
        stride: of the block.
        dilation: of both convolutions.
    """

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        self.shortcut = _shortcut(in_channels, width, stride)
        self.conv1 = FrozenNormConv2d(in_channels, width, 3, stride, dilation)
        self.conv2 = FrozenNormConv2d(width, width, 3, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, width, H / stride, W / stride)."""
        branch = self.conv2(F.relu_(self.conv1(x)))
        return F.relu_(branch.add_(self.shortcut(x)))

    def last(self) -> FrozenNormConv2d:
        """The last convolution of the residual branch."""
        return self.conv2


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions; the 3x3 one has the stride and the dilation.

    Args:
        in_channels: of the input.
        width: channels of the first two convolutions; the last has four times as many.
        stride: of the block.
        dilation: of the 3x3 convolution.
    """

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        self.shortcut = _shortcut(in_channels, 4 * width, stride)
        self.conv1 = FrozenNormConv2d(in_channels, width, 1)
        self.conv2 = FrozenNormConv2d(width, width, 3, stride, dilation)
        self.conv3 = FrozenNormConv2d(width, 4 * width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, 4 width, H / stride, W / stride)."""
        branch = F.relu_(self.conv1(x))
        branch = self.conv3(F.relu_(self.conv2(branch)))
        return F.relu_(branch.add_(self.shortcut(x)))

    def last(self) -> FrozenNormConv2d:
        """The last convolution of the residual branch."""
        return self.conv3


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if in_channels == out_channels and stride == 1:
        return nn.Identity()
    return FrozenNormConv2d(in_channels, out_channels, 1, stride)


class ResNet(Backbone):
    """A stem and four stages of residual blocks.

    Initial values: convolutions normal with the variance 2 / fan-out (MSRA), as Detectron2's. The norms are identities,
    but the last of each block, which scales the branch by 1 / sqrt(number of blocks of the stage): without statistics
    from a file, the variance would double with every block.

    Args:
        stem: from images to maps of stride 4.
        block: ``BasicBlock`` or ``Bottleneck``.
        depths: number of blocks of the four stages.
        width: of the blocks of ``res2``; each further stage has twice the width of the one before.
        multi_grid: dilations of the blocks of ``res5``.
        gradient_checkpointing: keep fewer activations in training, and compute them again in the backward pass.
    """

    def __init__(
        self,
        stem: DeepStem | PlainStem,
        block: type[BasicBlock] | type[Bottleneck],
        depths: Sequence[int],
        width: int = 64,
        multi_grid: Sequence[int] | None = None,
        gradient_checkpointing: bool = False,
    ):
        super().__init__()
        self.run = recompute if gradient_checkpointing else call
        self.stem = stem
        channels, self._shapes = stem.out_channels, {}
        for index, depth in enumerate(depths):
            blocks, stride = [], 1 if index == 0 else 2
            dilations = multi_grid if multi_grid and index == 3 else [1] * depth
            for position, dilation in zip(range(depth), dilations, strict=True):
                blocks.append(block(channels, width << index, stride if position == 0 else 1, dilation))
                channels = block.expansion * width << index
                blocks[-1].last().norm.weight.fill_(depth**-0.5)
            name = f"res{index + 2}"
            self.add_module(name, nn.Sequential(*blocks))
            self._shapes[name] = ShapeSpec(channels=channels, stride=4 << index)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict[str, Any]:
        return {"in_channels": input_shape.channels, "gradient_checkpointing": cfg.MODEL.GRADIENT_CHECKPOINTING}

    @property
    def size_divisibility(self) -> int:
        return 32

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of ``res2 … res5``."""
        return dict(self._shapes)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) normalised -> res2, res3, res4, res5 (B, C_i, H/s, W/s), in the precision of the weights."""
        dtype = self.stem.conv1.weight.dtype
        x = self.stem(x.to(dtype=dtype, memory_format=torch.channels_last))
        outputs = {}
        for name in self._shapes:
            for block in self.get_submodule(name).children():
                x = self.run(block, x)
            outputs[name] = x
        return outputs


@BACKBONE_REGISTRY.register()
class ResNet101c(ResNet):
    """ResNet-101 with the deep stem, and dilations 1, 2, 4 in ``res5``: 42.5 M parameters."""

    @configurable
    def __init__(self, *, in_channels: int = 3, **arguments):
        stem = DeepStem(in_channels, 64, 128)
        super().__init__(stem, Bottleneck, (3, 4, 23, 3), multi_grid=(1, 2, 4), **arguments)


@BACKBONE_REGISTRY.register()
class ResNet50(ResNet):
    """ResNet-50 with the plain stem: 23.5 M parameters."""

    @configurable
    def __init__(self, *, in_channels: int = 3, **arguments):
        super().__init__(PlainStem(in_channels, 64), Bottleneck, (3, 4, 6, 3), **arguments)


@BACKBONE_REGISTRY.register()
class ResNet18c(ResNet):
    """ResNet-18 with a deep stem of half the width: 11.2 M parameters. For small data."""

    @configurable
    def __init__(self, *, in_channels: int = 3, **arguments):
        super().__init__(DeepStem(in_channels, 32, 64), BasicBlock, (2, 2, 2, 2), **arguments)


@BACKBONE_REGISTRY.register()
class ResNet18cHalf(ResNet):
    """``ResNet18c`` with half of the channels: 2.8 M parameters. It can be trained from random weights on two cores."""

    @configurable
    def __init__(self, *, in_channels: int = 3, **arguments):
        super().__init__(DeepStem(in_channels, 16, 32), BasicBlock, (2, 2, 2, 2), width=32, **arguments)
