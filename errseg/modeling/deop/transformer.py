"""A transformer decoder as of DETR: post-norm layers, and sine positions. Proposals and anchors share it.

Shapes: B images, N queries, M = h w locations of the memory, C channels.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ArgumentError
from ..layers import attend

__all__ = ["Attention", "Decoder", "DecoderLayer", "Transformer", "sine_positions"]

TEMPERATURE = 10_000


def sine_positions(height: int, width: int, channels: int, device: torch.device | None = None) -> Tensor:
    """The 2-D sine embedding of all locations, row by row: (height width, channels) float32.

    The first half of the channels is for the row, the second for the column. Coordinates 1 … n are divided by
    n + 1e-6 and multiplied by 2 pi; sines and cosines are interleaved.
    """
    half = channels // 2
    frequencies = TEMPERATURE ** -(torch.arange(0, half, 2, dtype=torch.float32, device=device) / half)

    def of_axis(length: int) -> Tensor:
        coordinates = torch.arange(1, length + 1, dtype=torch.float32, device=device) / (length + 1e-6)
        angles = (2 * math.pi * coordinates)[:, None] * frequencies
        return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)  # (length, channels / 2)

    rows = of_axis(height)[:, None].expand(-1, width, -1)
    columns = of_axis(width)[None].expand(height, -1, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)


class Attention(nn.Module):
    """Multi-head attention, with the parameter names of ``nn.MultiheadAttention``.

    Args:
        dim: C.
        num_heads: number of heads; must divide C.
        dropout: probability with which a softmax weight is dropped in training.

    Raises:
        ArgumentError: ``num_heads`` does not divide ``dim``.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ArgumentError("{num_heads} = %s does not divide {dim} = %s; choose a divisor.", num_heads, dim)
        self.num_heads = num_heads
        self.dropout = dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))  # of queries, keys and values
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, share: Tensor | None = None) -> Tensor:
        """Attention of queries to keys and values, projected in and out.

        Args:
            q: (B, N, C), or (1, N, C) for queries that are the same for all images.
            k, v: (B, M, C).
            share: (B, N, M) or None: multiplies the softmax; nothing is normalised again.

        Returns:
            (B, N, C).
        """
        q, k, v = self.project(q, k, v)
        q = q.expand(k.shape[0], -1, -1, -1)
        if share is not None:
            weights = self.dropped((q * q.shape[-1] ** -0.5 @ k.mT).softmax(-1))
            x = weights * share.unsqueeze(1).to(weights.dtype) @ v
        elif self.training and self.dropout:
            x = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout)
        else:
            x = attend(q, k, v)
        return self.out_proj(x.transpose(1, 2).flatten(2))

    def project(self, *inputs: Tensor) -> list[Tensor]:
        """Queries and keys, or queries, keys and values, in heads: each (B, L, C) -> (B, heads, L, C / heads)."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        projected = [F.linear(x, weight, bias) for x, weight, bias in zip(inputs, weights, biases, strict=False)]
        return [x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in projected]

    def dropped(self, weights: Tensor) -> Tensor:
        """Softmax weights after dropout."""
        return F.dropout(weights, self.dropout, self.training)


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention, feed-forward network; after each, the residual sum and a LayerNorm.

    Args:
        dim: C.
        num_heads: of both attentions.
        hidden_dim: of the feed-forward network.
        dropout: after each part, within the feed-forward network, and of the softmax weights.

    Raises:
        ArgumentError: ``num_heads`` does not divide ``dim``.
    """

    def __init__(self, dim: int, num_heads: int, hidden_dim: int, dropout: float = 0.1):
        super().__init__()
        self.self_attn = Attention(dim, num_heads, dropout)
        self.multihead_attn = Attention(dim, num_heads, dropout)
        self.linear1 = nn.Linear(dim, hidden_dim)
        self.dropout = nn.Dropout(dropout)
        self.linear2 = nn.Linear(hidden_dim, dim)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.dropout1, self.dropout2, self.dropout3 = (nn.Dropout(dropout) for _ in range(3))

    def forward(self, z: Tensor, queries: Tensor, keys: Tensor, values: Tensor, share: Tensor | None = None) -> Tensor:
        """One layer.

        Args:
            z: (B, N, C), or (1, N, C) where it is the same for all images.
            queries: (1, N, C) learned; added to z where it is a query or a key.
            keys, values: (B, M, C), the memory with and without positions.
            share: see ``Attention.forward``, of the cross-attention.

        Returns:
            (B, N, C).
        """
        x = z + queries
        z = self.norm1(z + self.dropout1(self.self_attn(x, x, z)))
        z = self.norm2(z + self.dropout2(self.multihead_attn(z + queries, keys, values, share)))
        return self.norm3(z + self.dropout3(self.linear2(self.dropout(F.relu(self.linear1(z))))))


class Decoder(nn.Module):
    """Decoder layers and a final LayerNorm; z starts at zero. Arguments as of ``DecoderLayer``."""

    def __init__(self, dim: int, num_heads: int, hidden_dim: int, num_layers: int, dropout: float = 0.1):
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(dim, num_heads, hidden_dim, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> list[Tensor]:
        """(1, N, C), (B, M, C) twice -> the normalised output of each layer, (B, N, C)."""
        # Up to the first cross-attention nothing depends on the images: it is computed once for all of them.
        # In training, dropout differs from image to image.
        z = torch.zeros_like(queries).expand(keys.shape[0] if self.training else 1, -1, -1)
        outputs = []
        for layer in self.layers:
            z = layer(z, queries, keys, values)
            outputs.append(self.norm(z))
        return outputs


class Transformer(nn.Module):
    """A decoder on a feature map with sine positions, without an encoder. Every matrix starts Xavier-uniform.

    Args:
        dim: C; a multiple of 4, for the positions.
        num_heads, hidden_dim, num_layers, dropout: see ``Decoder``.

    Raises:
        ArgumentError: ``dim`` is no multiple of 4 or of ``num_heads``.
    """

    def __init__(self, dim: int, num_heads: int, hidden_dim: int, num_layers: int, dropout: float = 0.1):
        super().__init__()
        if dim % 4:
            raise ArgumentError("{dim} = %s is no multiple of 4, which sine positions need; choose one.", dim)
        self.decoder = Decoder(dim, num_heads, hidden_dim, num_layers, dropout)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, memory: Tensor, queries: Tensor) -> list[Tensor]:
        """(B, C, h, w) and (N, C) -> the normalised output of each layer, (B, N, C)."""
        height, width = memory.shape[-2:]
        positions = sine_positions(height, width, memory.shape[1], memory.device).to(memory.dtype)
        values = memory.flatten(2).transpose(1, 2)  # (B, h w, C)
        return self.decoder(queries.unsqueeze(0), values + positions, values)
