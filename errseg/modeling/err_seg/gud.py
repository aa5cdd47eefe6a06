"""Gradual Upsampling Decoder (III-E): fused cost embedding -> logits, guided by the image at each scale.

Shapes: B images, K classes kept, C channels, H x W locations at stride 16; N maps, one for each class of each image.
The guidance is the same for every class: its share of the first convolution is computed once per image.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ...errors import ArgumentError
from ..guidance import guidance_share, with_share
from ..layers import ReLU6, StopGradient, call, in_parts, resize


def groups(channels: int) -> int:
    """The number of groups of a group norm: 8 channels each; one group where there are fewer channels."""
    return max(channels // 8, 1)


class Guidance(nn.Module):
    """Projected image features, concatenated to the cost embedding of every class.

    Args:
        image_dim: channels of the guiding feature map.
        guidance_dim: channels of the projection.
    """

    def __init__(self, image_dim: int, guidance_dim: int):
        super().__init__()
        self.guidance_dim = guidance_dim
        self.proj = nn.Sequential(nn.Conv2d(image_dim, guidance_dim, kernel_size=3, padding=1), ReLU6())

    def share(self, conv: nn.Conv2d, image: Tensor, size: tuple[int, int]) -> Tensor:
        """The guidance's share of a convolution at ``size``: (B, image_dim, h', w') -> (B, 1, out, *size)."""
        return guidance_share(conv, resize(self.proj(image), size)).unsqueeze(1)


class NoGuidance(nn.Module):
    """No guidance at stride 16 (Table XI): the cost embedding is decoded without image features."""

    guidance_dim = 0

    def share(self, conv: nn.Conv2d, image: Tensor, size: tuple[int, int]) -> None:
        return None


class UpsampleStage(nn.Module):
    """Upsample the cost embedding, guide it by the image, refine it with two small convolutions.

    Args:
        in_dim, out_dim: channels of the cost embedding before and after.
        scale: 1 (a 1x1 convolution) or 2 (a 2x2 transposed convolution of stride 2).
        guidance: the image features of this stage.
        kernel_size: kernel size of the refining convolutions (Table XI).
    """

    def __init__(self, in_dim: int, out_dim: int, scale: int, guidance: "Guidance | NoGuidance", kernel_size: int):
        super().__init__()
        self.scale = scale
        self.up = nn.ConvTranspose2d(in_dim, out_dim, 2, 2) if scale == 2 else nn.Conv2d(in_dim, out_dim, 1)
        self.guidance = guidance
        layers: list[nn.Module] = []
        for width in (out_dim + guidance.guidance_dim, out_dim):
            layers += [
                nn.Conv2d(width, out_dim, kernel_size, padding=kernel_size // 2, bias=False),
                nn.GroupNorm(groups(out_dim), out_dim),
                nn.ReLU(inplace=True),
            ]
        self.refine: Any = nn.Sequential(*layers)

    def share(self, image: Tensor, size: tuple[int, int]) -> Tensor | None:
        """The guidance's share of the first convolution: (B, image_dim, h', w') -> (B, 1, out_dim, *size) or None."""
        return self.guidance.share(self.refine[0], image, size)

    def forward(self, x: Tensor, share: Tensor | None) -> Tensor:
        """(N, in_dim, h, w) and the guidance's share -> (N, out_dim, scale h, scale w)."""
        return self.refine[1:](with_share(self.refine[0], self.up(x), share))


class GUD(nn.Module):
    """Three upsampling stages and a 1x1 head.

    Args:
        dim: C of the cost embedding. The stages have C / 2, C / 4 and C / 8 channels; their guidance has half as many.
        image_dims: channels of the feature maps at strides 16, 8 and 4.
        guidance_os16: guide the first stage too.
        stop_gradient: the guidance does not train the encoder.
        kernel_size: kernel size of the refining convolutions.
        run: calls a stage in training: ``call``, or ``recompute`` to save memory.
    """

    def __init__(
        self,
        dim: int,
        image_dims: tuple[int, ...],
        guidance_os16: bool = True,
        stop_gradient: bool = True,
        kernel_size: int = 3,
        run: Callable = call,
    ):
        super().__init__()
        self.run = run
        if any(width % groups(width) for width in (dim // 2, dim // 4, dim // 8)):
            raise ArgumentError("{dim} = %s does not split into GUD's groups of 8 channels; give 32, 64 or 128.", dim)
        if kernel_size % 2 == 0:
            raise ArgumentError("{kernel_size} = %s is even; give an odd size such as 3.", kernel_size)
        self.stop_gradient = StopGradient() if stop_gradient else nn.Identity()
        self.stages: Any = nn.ModuleList()
        for i, image_dim in enumerate(image_dims):
            out_dim = dim // 2 ** (i + 1)
            guidance = Guidance(image_dim, out_dim // 2) if i > 0 or guidance_os16 else NoGuidance()
            self.stages.append(UpsampleStage(dim // 2**i, out_dim, 1 if i == 0 else 2, guidance, kernel_size))
        self.head = nn.Conv2d(dim // 8, 1, kernel_size=1)

    def forward(self, x: Tensor, maps: list[Tensor]) -> Tensor:
        """Decode the cost embedding.

        Args:
            x: (B, K, H, W, C).
            maps: the feature maps at strides 16, 8 and 4, each (B, image_dims[i], h, w).

        Returns:
            Logits (B, K, 4 H, 4 W).
        """
        size, shares = tuple(x.shape[2:4]), []
        for stage, image in zip(self.stages, maps, strict=True):
            size = tuple(stage.scale * side for side in size)
            shares.append(stage.share(self.stop_gradient(image), size))
        return in_parts(self.decode, x.flatten(0, 1), *shares).unflatten(0, x.shape[:2])

    def decode(self, x: Tensor, *shares: Tensor | None) -> Tensor:
        """Maps of single classes (N, H, W, C) and the guidance's share of each stage -> logits (N, 4 H, 4 W)."""
        x = x.permute(0, 3, 1, 2)
        for stage, share in zip(self.stages, shares, strict=True):
            x = self.run(stage, x, share)
        return self.head(x).squeeze(1)


class HeadOnly(nn.Module):
    """Logits at stride 16, from the fused cost embedding by a 1x1 convolution (Table V, "w/o GUD")."""

    def __init__(self, dim: int):
        super().__init__()
        self.head = nn.Conv2d(dim, 1, kernel_size=1)

    def forward(self, x: Tensor, maps: list[Tensor]) -> Tensor:
        """(B, K, H, W, C) -> (B, K, H, W)."""
        return self.head(x.flatten(0, 1).permute(0, 3, 1, 2)).squeeze(1).unflatten(0, x.shape[:2])
