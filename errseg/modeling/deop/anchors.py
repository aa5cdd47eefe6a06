"""Classification anchors and heatmap pooling (section 4): where in a mask the classifier looks.

Shapes: B images, N anchors and proposals, h x w locations, L = h w, D the dimension that image and text share, d = D /
heads.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ArgumentError
from ..layers import resize, without_autocast
from .transformer import Attention, DecoderLayer, sine_positions

__all__ = ["AnchorDecoder", "Heatmaps", "OutLayer", "UnmaskedLayer"]


class Heatmaps(nn.Module):
    """The heatmaps of the anchors: a softmax over all locations, then the mask.

    Args:
        dim: D.
        num_heads: number of heads.
        dropout: dropout of the softmax in training.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float = 0.1):
        super().__init__()
        self.num_heads = num_heads
        # Queries, keys and values. The values are without effect; released checkpoints hold them
        self.in_proj_weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(3 * dim, dim)))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, keys: Tensor, masks: Tensor) -> Tensor:
        """(B, N, D), (B, L, D) and mask probabilities (B, N, L) -> (B, heads, N, L) float32."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q, k = (
            F.linear(x, weight, bias).unflatten(-1, (self.num_heads, -1)).transpose(1, 2).float()
            for x, weight, bias in zip((queries, keys), weights, biases, strict=False)
        )
        with without_autocast(keys.device):
            attention = (q * q.shape[-1] ** -0.5 @ k.mT).softmax(-1)
        return self.dropout(attention) * masks.unsqueeze(1)


class OutLayer(nn.Module):
    """Self-attention of the anchors, their heatmaps, and the pooling of the dense embedding.

    Args:
        dim: D.
        num_heads: number of heads.
        dropout: dropout in training.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float = 0.1):
        super().__init__()
        self.self_attn = Attention(dim, num_heads, dropout)
        self.dropout1 = nn.Dropout(dropout)
        self.norm1 = nn.LayerNorm(dim)
        self.heatmaps = Heatmaps(dim, num_heads, dropout)

    def forward(self, z: Tensor, anchors: Tensor, keys: Tensor, dense: Tensor, masks: Tensor) -> Tensor:
        """Pool the dense embedding.

        Args:
            z: (B, N, D), the state of the anchors; (1, N, D) where all images share it.
            anchors: (1, N, D).
            keys: (B, L, D), the dense embedding with positions.
            dense: (B, L, D), the dense embedding F_V.
            masks: (B, N, L) probabilities.

        Returns:
            F_I (B, N, D) float32 of unit length.
        """
        queries = z + anchors
        z = self.norm1(z + self.dropout1(self.self_attn(queries, queries, z)))
        heatmaps = self.heatmaps((z + anchors).expand(dense.shape[0], -1, -1), keys, masks)
        with without_autocast(dense.device):
            pooled = heatmaps @ dense.float().unflatten(-1, (heatmaps.shape[1], -1)).transpose(1, 2)  # (B, heads, N, d)
        return unit(pooled.transpose(1, 2).flatten(2))


def unit(pooled: Tensor) -> Tensor:
    """Divide by the norm; where a norm of the batch is 0, divide all by norm + 1e-10, as the release does."""
    norm = pooled.norm(dim=-1, keepdim=True)
    return pooled / (norm + 1e-10 * (norm == 0).any())


class UnmaskedLayer(DecoderLayer):
    """A decoder layer whose cross-attention does not see the masks."""

    def forward(self, z: Tensor, queries: Tensor, keys: Tensor, values: Tensor, share: Tensor | None = None) -> Tensor:
        """See ``DecoderLayer.forward``; ``share`` is not used."""
        return super().forward(z, queries, keys, values)


class AnchorDecoder(nn.Module):
    """The decoder of the classification anchors, from the dense embedding and the masks to an embedding per mask.

    Args:
        dim: D.
        num_anchors: N.
        num_layers: layers before the out-layer; may be 0.
        masked: the masks multiply the attention of these layers too.
        num_heads: number of heads.
        hidden: width of the feed-forward networks.
        dropout: dropout in training.

    Raises:
        ArgumentError: D is not a multiple of 4 x heads.
    """

    def __init__(
        self,
        dim: int,
        num_anchors: int = 100,
        num_layers: int = 1,
        masked: bool = False,
        num_heads: int = 8,
        hidden: int = 1024,
        dropout: float = 0.1,
    ):
        super().__init__()
        if dim % num_heads or dim % 4:
            raise ArgumentError("{clip} has a dimension of %s; it needs a multiple of %s and 4.", dim, num_heads)
        layer = DecoderLayer if masked else UnmaskedLayer
        self.anchors = nn.Embedding(num_anchors, dim)
        self.layers = nn.ModuleList(layer(dim, num_heads, hidden, dropout) for _ in range(num_layers))
        self.outlayer = OutLayer(dim, num_heads, dropout)
        self.norm = nn.LayerNorm(dim)  # without effect; released checkpoints hold it

    def forward(self, dense: Tensor, masks: Tensor) -> Tensor:
        """An embedding for each mask: F_V (B, D, h, w) and mask logits (B, N, H', W') -> F_I (B, N, D) float32.

        The logits become probabilities before they are resized to the locations of F_V; patch severance has the other
        order.
        """
        height, width = dense.shape[-2:]
        regions = resize(masks.float().sigmoid(), (height, width)).flatten(2)  # (B, N, L)
        dtype = self.norm.weight.dtype
        memory = dense.flatten(2).transpose(1, 2).to(dtype)  # (B, L, D)
        keys = memory + sine_positions(height, width, dense.shape[1], dense.device).to(dtype)
        anchors = self.anchors.weight.unsqueeze(0)  # (1, N, D)
        # Up to the first cross-attention nothing depends on the images; in training, dropout does
        z = torch.zeros_like(anchors).expand(dense.shape[0] if self.training else 1, -1, -1)
        for layer in self.layers:
            z = layer(z, anchors, keys, memory, regions)
        return self.outlayer(z, anchors, keys, memory, regions)

    def without_effect(self) -> list[nn.Parameter]:
        """Parameters that training counts although they have no effect, as in the release."""
        return list(self.norm.parameters())
