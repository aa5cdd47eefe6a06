"""The cost embedding, and what guides the upsampling: the image's feature maps and the cost map (section 4).

Shapes: B images, T names, N maps of single names, P templates, C channels, D text dimension, n the side of the map at
stride 32.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..cost_map import cost_map
from ..layers import StopGradient, infers_on_cpu
from ..spectrum import conv_by_spectrum
from .parts import over_names

__all__ = ["CostEmbedding", "CostGuidance", "FeatureGuidance", "Unguided", "prompt_costs"]

MANY = 32  # names from which on a CPU makes the cost embedding by spectra; that of its weights takes time, too


def prompt_costs(dense: Tensor, text: Tensor) -> Tensor:
    """The cosine of every location and prompt: (B, D, n, n), (T, P, D) -> (B, T, P, n, n)."""
    return cost_map(dense, text.flatten(0, 1)).unflatten(1, text.shape[:2])


class CostEmbedding(nn.Module):
    """A 7x7 convolution of the cost map, whose channels are the templates.

    Args:
        num_templates: P.
        dim: channels of the cost embedding.
    """

    def __init__(self, num_templates: int, dim: int):
        super().__init__()
        self.conv = nn.Conv2d(num_templates, dim, kernel_size=7, padding=3)

    def forward(self, costs: Tensor) -> Tensor:
        """(N, P, n, n) cosines -> (N, dim, n, n)."""
        if infers_on_cpu(costs) and costs.dtype == torch.float32 and len(costs) >= MANY:
            return conv_by_spectrum(costs, self.conv.weight, self.conv.bias)
        return over_names(self.embed, costs, elements=self.conv.out_channels * costs[0, 0].numel())

    def embed(self, costs: Tensor) -> Tensor:
        """As ``forward``, all at once."""
        return self.conv(channels_last(costs))


class FeatureGuidance(nn.Module):
    """A feature map of the image that guides a stage, the same for every name.

    Args:
        image_dim: channels of the feature map.
        dim: channels of the guidance.
        detach: no gradient flows back to the image tower.
    """

    def __init__(self, image_dim: int, dim: int, detach: bool = True):
        super().__init__()
        self.dim = dim
        self.stop = StopGradient() if detach else nn.Identity()
        self.proj: Any = nn.Conv2d(image_dim, dim, kernel_size=3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, image_dim, h, w) -> (B, dim, h, w)."""
        return F.relu(self.proj(self.stop(image)))


class CostGuidance(nn.Module):
    """The cost map at the size of a stage's output, made of that of the stage before.

    Args:
        in_dim: channels of the guidance of the stage before; for the first stage, P.
        dim: channels of the guidance.
    """

    def __init__(self, in_dim: int, dim: int):
        super().__init__()
        self.dim = dim
        self.up: Any = nn.ConvTranspose2d(in_dim, dim, kernel_size=2, stride=2)

    def forward(self, costs: Tensor) -> Tensor:
        """(N, in_dim, h, w) -> (N, dim, 2 h, 2 w)."""
        return F.relu(self.up(channels_last(costs)))


class Unguided(nn.Module):
    """No guidance: a map without channels."""

    dim = 0

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, 0, h, w)."""
        return x[:, :0]


def channels_last(x: Tensor) -> Tensor:
    """The same map with the channels of a location contiguous in memory: (N, C, h, w) -> the same."""
    x = x.movedim(1, -1).contiguous()  # ``memory_format`` would leave maps of one channel or location as they are
    return x.movedim(-1, 1)
