"""The plain form: DeOP written literally from the formulas of its contract.

A plain class is a subclass of the module that it replaces. It has the same constructor, parameters and buffers, and
another ``forward``. ``PLAIN`` is the table of these classes. A module without a plain class is literal already. The
plain form is slow on purpose, and for float32.

Shapes: B images, N proposals, M locations of a memory, C channels.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..clip.build import CLIPModel
from ..layers import resize
from ..num_kept import NumKept
from ..plain import PlainScores, plain_copy
from ..prediction import Prediction
from .anchors import AnchorDecoder, OutLayer, unit
from .frozen_norm import FrozenNormConv2d
from .image_tower import SeveredViTCLIP
from .model import DeOP
from .positions import LearnedPositions
from .prompt import FixedPrompt, LearnedPrompt
from .proposals import Predictor, Proposals
from .severance import Masked, Plain, SelfAttention
from .transformer import Attention, Decoder, sine_positions

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
        """Masks and class embeddings of all layers: (B, in_channels, H/32, W/32), (B, C, H/4, W/4) -> the last masks.

        As in the release, which uses neither the masks of the other layers nor the class embeddings.
        """
        layers = self.each_layer(coarsest, pixels)
        for layer in layers:
            self.class_embed(layer.queries)
        return layers[-1]

    def masks(self, queries: Tensor, pixels: Tensor) -> Tensor:
        """(B, N, C), (B, C, h, w) -> (B, N, h, w)."""
        return torch.einsum("bnc,bchw->bnhw", self.mask_embed(queries), pixels)


# ---- CLIP's image tower (section 3) ----


class PlainLearnedPositions(LearnedPositions):
    def at_input(self, size: tuple[int, int]) -> Tensor | float:
        """(1 + h w, C)."""
        return literal_table(self.input, size)

    def enter(self, block: int, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, 1 + h w, C) -> the same."""
        key = str(block)
        return x + literal_table(self.blocks[key], size) if key in self.blocks else x


class PlainTower(SeveredViTCLIP):
    def all_positions(self, size: tuple[int, int]) -> Tensor:
        """(1 + h w, C)."""
        return literal_table(self.clip.visual.positional_embedding, size) + self.learned.at_input(size)


def literal_table(table: Tensor, size: tuple[int, int]) -> Tensor:
    """Bicubic interpolation of the square grid of a table: (1 + g^2, C) and (h, w) -> (1 + h w, C)."""
    side = round((len(table) - 1) ** 0.5)
    grid = table[1:].view(1, side, side, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=size, mode="bicubic", align_corners=False)
    return torch.cat([table[:1], grid[0].flatten(1).T])


class PlainSelfAttention(SelfAttention):
    def forward(self, attention: nn.MultiheadAttention, u: Tensor, regions: Tensor) -> Tensor:
        """CLIP's attention: (B, L, C) -> (B, L, C)."""
        q, k, v = heads_of(attention, u)
        return attention.out_proj(torch.einsum("bhlm,bmhd->blhd", weights_of(q, k), v).flatten(2))


def heads_of(attention: nn.MultiheadAttention, u: Tensor) -> list[Tensor]:
    """Queries, keys and values: (B, L, C) -> three of (B, L, heads, d)."""
    qkv = F.linear(u, attention.in_proj_weight, attention.in_proj_bias).chunk(3, dim=-1)
    return [x.unflatten(-1, (attention.num_heads, -1)) for x in qkv]


def weights_of(q: Tensor, k: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) in every head: (B, L, heads, d) twice -> (B, heads, L, L)."""
    return (torch.einsum("blhd,bmhd->bhlm", q, k) / q.shape[-1] ** 0.5).softmax(-1)


class PlainMasked(Masked):
    pointwise = False  # the class token stays

    def forward(self, attention: nn.MultiheadAttention, u: Tensor, regions: Tensor) -> Tensor:
        """W_o sum_n m_n(i) v_i + b_o, with a tensor over all masks: (B, L, C) and (B, L, N) -> (B, L, C).

        As in the release, which also computes the weights of the severed attention and does not use them.
        """
        q, k, v = heads_of(attention, u)
        weights_of(q, k)
        of_masks = torch.einsum("bln,blc->bnlc", regions, v.flatten(2))
        return attention.out_proj(of_masks.sum(1))


class PlainPlain(Plain):
    pointwise = False  # the class token stays

    def forward(self, attention: nn.MultiheadAttention, u: Tensor, regions: Tensor) -> Tensor:
        """W_o v_i + b_o: (B, L, C) -> (B, L, C)."""
        return attention.out_proj(F.linear(u, attention.in_proj_weight, attention.in_proj_bias).chunk(3, dim=-1)[2])


# ---- classification anchors (section 4) ----


class PlainAnchorDecoder(AnchorDecoder):
    def forward(self, dense: Tensor, masks: Tensor) -> Tensor:
        """F_V (B, D, h, w) and mask logits (B, N, H', W') -> F_I (B, N, D)."""
        batch, dim, height, width = dense.shape
        regions = resize(masks.sigmoid(), (height, width)).flatten(2)
        memory = dense.flatten(2).mT
        keys = memory + sine_positions(height, width, dim, dense.device)
        anchors = self.anchors.weight.repeat(batch, 1, 1)
        z = torch.zeros_like(anchors)
        for layer in self.layers:
            z = layer(z, anchors, keys, memory, regions)
        return self.outlayer(z, anchors, keys, memory, regions)


class PlainOutLayer(OutLayer):
    def forward(self, z: Tensor, anchors: Tensor, keys: Tensor, dense: Tensor, masks: Tensor) -> Tensor:
        """One head after another: see ``OutLayer.forward``."""
        queries = z + anchors
        z = self.norm1(z + self.dropout1(self.self_attn(queries, queries, z)))
        heatmaps = self.heatmaps(z + anchors, keys, masks)  # (B, heads, N, L)
        channels = dense.chunk(heatmaps.shape[1], dim=-1)  # (B, L, d) of each head
        pooled = torch.cat([heatmaps[:, head] @ each for head, each in enumerate(channels)], dim=-1)
        return unit(pooled)


# ---- names (section 5) ----


class PlainLearnedPrompt(LearnedPrompt):
    def forward(self, clip: CLIPModel, tokens: Tensor, run: Callable) -> Tensor:
        """All positions of the text tower: (N, L) -> (N, D) of unit length."""
        embedded, count = clip.token_embedding(tokens.to(self.prefix.device)), len(tokens)
        x = torch.cat([embedded[:, :1], self.prefix.expand(count, -1, -1), embedded[:, 1:]], dim=1)
        x = x[:, : len(clip.positional_embedding)] + clip.positional_embedding
        x = clip.ln_final(clip.transformer(x, attn_mask=clip.attn_mask))
        ends = tokens.argmax(1) + len(self.prefix)
        return F.normalize(x[range(count), ends] @ clip.text_projection, dim=-1)


class PlainFixedPrompt(FixedPrompt):
    def forward(self, clip: CLIPModel, tokens: Tensor, run: Callable) -> Tensor:
        """All positions of the text tower: (N, L) -> (N, D) of unit length."""
        return F.normalize(clip.encode_text(tokens.to(clip.positional_embedding.device)), dim=-1)


# ---- the loss of the last stage (section 7) ----


def literal_losses(
    logits: Tensor,
    masks: Tensor,
    labels: Tensor,
    slope: float = 3.0,
    alpha: float = 0.25,
    gamma: float = 2.0,
    ignore_label: int = 255,
) -> tuple[Tensor, Tensor]:
    """See ``score_losses``."""
    num_classes = logits.shape[-1] - 1
    scores = torch.einsum("bnc,bnhw->bchw", logits.softmax(-1), resize(masks, labels.shape[-2:]).sigmoid())
    p = (slope * scores - slope).sigmoid()
    target = torch.where(labels == ignore_label, num_classes, labels)
    t = F.one_hot(target, num_classes + 1).permute(0, 3, 1, 2).to(p.dtype)
    right = p * t + (1 - p) * (1 - t)
    weight = alpha * t + (1 - alpha) * (1 - t)
    focal = -(weight * (1 - right) ** gamma * right.clamp(1e-4, 1 - 1e-4).log()).mean()
    p, t = p[:, :num_classes].flatten(1), t[:, :num_classes].flatten(1)
    dice = 1 - (2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1)
    return focal, dice.mean()


# ---- prediction (section 6) ----


class PlainDeOP(PlainScores, DeOP):
    def loss(self, logits: Tensor, masks: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Focal and dice loss (section 7), with tensors (B, C + 1, H, W) of all images."""
        return literal_losses(logits, masks, labels, self.slope, ignore_label=self.ignore_label)

    def segment(self, images: Tensor, text: Tensor, num_kept: NumKept, show: bool = False) -> Prediction:
        """The scores of all names at full size: (B, 3, h, w) and (T, D) -> (B, T, h, w)."""
        height, width = images.shape[-2:]
        masks, logits = self.regions(images, text)
        masks = resize(masks, (masks.shape[2] * 4, masks.shape[3] * 4)).sigmoid()
        scores = torch.einsum("bnt,bnhw->bthw", logits.softmax(-1)[..., :-1], masks)[..., :height, :width]
        kept = torch.arange(len(text), device=images.device).expand(len(images), -1)
        return Prediction(scores, kept, total=masks.sum(1, keepdim=True)[..., :height, :width])


PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    FrozenNormConv2d: PlainFrozenNormConv2d,
    Attention: PlainAttention,
    Decoder: PlainDecoder,
    Predictor: PlainPredictor,
    LearnedPositions: PlainLearnedPositions,
    SeveredViTCLIP: PlainTower,
    SelfAttention: PlainSelfAttention,
    Masked: PlainMasked,
    Plain: PlainPlain,
    AnchorDecoder: PlainAnchorDecoder,
    OutLayer: PlainOutLayer,
    LearnedPrompt: PlainLearnedPrompt,
    FixedPrompt: PlainFixedPrompt,
    DeOP: PlainDeOP,
}


def plain_form(model: nn.Module) -> nn.Module:
    """The plain form of a model or of one of its modules; see ``plain_copy``."""
    return plain_copy(model, PLAIN)
