"""The plain form: DeOP written literally from the formulas of its contract.

A plain class is a subclass of the module that it replaces. It has the same constructor, parameters and buffers, and
another ``forward``. ``PLAIN`` is the table of these classes. A module without a plain class is literal already. The
plain form is slow on purpose, and for float32.

Shapes: B images, N proposals, M locations of a memory, C channels.
"""

import torch
from torch import Tensor, nn

from ..layers import copy_on_same_weights
from .frozen_norm import FrozenNormConv2d
from .proposals import Predictor, Proposals
from .transformer import Attention, Decoder

__all__ = ["PLAIN", "plain_form"]


# ---- mask proposals (section 2) ----


class PlainFrozenNormConv2d(FrozenNormConv2d):
    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)."""
        return self.norm(self._conv_forward(x, self.weight, None))


class PlainAttention(Attention):
    def forward(self, q: Tensor, k: Tensor, v: Tensor, share: Tensor | None = None) -> Tensor:
        """softmax(q k^T / sqrt(d)) v in every head: (B, N, C), (B, M, C) twice, (B, N, M) -> (B, N, C)."""
        q, k, v = self.project(q, k, v)  # (B, heads, L, d)
        weights = torch.einsum("bhnd,bhmd->bhnm", q, k) / q.shape[-1] ** 0.5
        weights = self.dropped(weights.softmax(-1))
        if share is not None:
            weights = weights * share[:, None]
        return self.out_proj(torch.einsum("bhnm,bhmd->bnhd", weights, v).flatten(2))


class PlainDecoder(Decoder):
    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> list[Tensor]:
        """(1, N, C), (B, M, C) twice -> the normalised output of each layer, (B, N, C)."""
        queries = queries.repeat(len(keys), 1, 1)
        z, outputs = torch.zeros_like(queries), []
        for layer in self.layers:
            z = layer(z, queries, keys, values)
            outputs.append(self.norm(z))
        return outputs


class PlainPredictor(Predictor):
    def forward(self, coarsest: Tensor, pixels: Tensor) -> Proposals:
        """(B, in_channels, H/32, W/32), (B, C, H/4, W/4) -> the proposals of all layers, of which the last are used."""
        return self.each_layer(coarsest, pixels)[-1]

    def masks(self, queries: Tensor, pixels: Tensor) -> Tensor:
        """(B, N, C), (B, C, h, w) -> (B, N, h, w)."""
        return torch.einsum("bnc,bchw->bnhw", self.mask_embed(queries), pixels)


PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    FrozenNormConv2d: PlainFrozenNormConv2d,
    Attention: PlainAttention,
    Decoder: PlainDecoder,
    Predictor: PlainPredictor,
}


def plain_form(model: nn.Module) -> nn.Module:
    """The plain form of a model or of one of its modules, on the same parameters and buffers."""
    plain = copy_on_same_weights(model)
    for module in plain.modules():
        module.__class__ = PLAIN.get(type(module), type(module))
    return plain
