"""The plain form: CAT-Seg written literally from the formulas of its contract. Read it beside the contract.

A plain class is a subclass of the module that it replaces. It has the same constructor, parameters and buffers, and
another ``forward``. ``PLAIN`` is the table of these classes. A module without a plain class is literal already. The
plain form is slow on purpose, and for float32: it copies the padding tokens, repeats and concatenates the guidance, and
computes the scores and the loss of all T names.

Shapes: B images, T names, K classes kept, D the dimension that image and text share, C and G channels of the costs and
of their guidance, L = g x g locations.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..clip.prompts import TokenizedNames
from ..clip.split import SplitAttention
from ..cost_map import cost_map
from ..layers import resize
from ..num_kept import NumKept
from ..plain import PlainScores, literal_loss, mean_of_prompts, of_all_names, plain_copy
from .classes import ClassAggregation, FullAttention, LinearAttention
from .cost import FeatureEmbedding, first_of_equal
from .decoder import Decoder, UpsampleStage
from .head import CATSegHead
from .image_tower import SplitViTCLIP
from .model import DROPPED_LOGIT, CATSeg, without_padding
from .spatial import SpatialAggregation, WindowBlock

__all__ = ["PLAIN", "plain_form"]


def in_heads(x: Tensor, num_heads: int) -> Tensor:
    """(..., L, C) -> (..., heads, L, d)."""
    return x.unflatten(-1, (num_heads, -1)).transpose(-3, -2)


def out_of_heads(x: Tensor) -> Tensor:
    """(..., heads, L, d) -> (..., L, C)."""
    return x.transpose(-3, -2).flatten(-2)


# ---- image tower (section 2) ----


class PlainTower(SplitViTCLIP):
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) -> "dense" (B, D, g, g), "guidance1" (B, 256, 2 g, 2 g), "guidance2" (B, 128, 4 g, 4 g)."""
        visual = self.clip.visual
        x, (height, width) = self.embed(resize(images, (self.resolution, self.resolution)))
        *blocks, last = visual.transformer.resblocks
        outputs = []
        for block in blocks:
            x = block(x)
            outputs.append(x[:, 1:].mT.unflatten(2, (height, width)))
        q, k, v = F.linear(last.ln_1(x), last.attn.in_proj_weight, last.attn.in_proj_bias).chunk(3, dim=-1)
        y = x[:, :1] + last.attn.out_proj(v)  # the residual is the class token; queries and keys are not used
        z = y + last.mlp(last.ln_2(y))
        dense = visual.ln_post(z) @ visual.proj
        features = {"dense": dense[:, 1:].mT.unflatten(2, (height, width))}
        for i, up in enumerate(self.upsample):
            features[f"guidance{i + 1}"] = up(outputs[self.guiding_blocks[i]])
        return features


class PlainSplitAttention(SplitAttention):
    def forward(self, query, key, value, need_weights=False, attn_mask=None):
        """softmax(q k^T / sqrt(d)) v in every head: (N, L, C) -> (N, L, C)."""
        qkv = F.linear(query, self.in_proj_weight, self.in_proj_bias)
        q, k, v = (in_heads(each, self.num_heads) for each in qkv.chunk(3, dim=-1))
        weights = torch.einsum("nhid,nhjd->nhij", q, k) / q.shape[-1] ** 0.5
        weights = weights if attn_mask is None else weights + attn_mask
        attended = torch.einsum("nhij,nhjd->nhid", weights.softmax(-1), v)
        return self.out_proj(out_of_heads(attended)), None


# ---- cost embedding (section 4) ----


class PlainFeatureEmbedding(FeatureEmbedding):
    def forward(self, cost: Tensor, dense: Tensor, text: Tensor) -> Tensor:
        """(B, K, g, g), (B, D, g, g), (B or 1, K, D) -> (B, K, L, C)."""
        batch, classes, height, width = cost.shape
        of_image = dense.repeat_interleave(classes, dim=0)  # (B K, D, g, g)
        of_text = text.expand(batch, -1, -1).flatten(0, 1)[..., None, None].expand(-1, -1, height, width)
        x = self.conv(torch.cat([of_image, of_text], dim=1))
        return x.flatten(2).mT.unflatten(0, (batch, classes))


# ---- aggregation (section 5) ----


class PlainSpatialAggregation(SpatialAggregation):
    def forward(self, x: Tensor, image_guidance: Tensor | None, text_guidance: Tensor | None = None) -> Tensor:
        """(B, K, L, C), (B, L, G) -> (B, K, L, C)."""
        classes, guidance = x.shape[1], None
        if image_guidance is not None:
            guidance = self.guidance_norm(image_guidance).repeat_interleave(classes, dim=0)  # (B K, L, G)
        y = x.flatten(0, 1)
        for block in self.blocks:
            y = block(y, guidance)
        return y.unflatten(0, x.shape[:2])


class PlainWindowBlock(WindowBlock):
    def forward(self, x: Tensor, guidance: Tensor | None) -> Tensor:  # type: ignore[override]
        """(N, L, C), (N, L, G) -> (N, L, C)."""
        n = self.norm1(x)
        u = n if guidance is None else torch.cat([n, guidance], dim=-1)
        q, k, v = (self.in_windows(y) for y in (self.attn.q(u), self.attn.k(u), self.attn.v(n)))
        weights = torch.einsum("nwhid,nwhjd->nwhij", q, k) / q.shape[-1] ** 0.5
        if self.attn_mask is not None:
            weights = weights + self.attn_mask[:, None]
        attended = torch.einsum("nwhij,nwhjd->nwhid", weights.softmax(-1), v)
        x = x + self.attn.proj(self.from_windows(attended))
        return x + self.mlp(self.norm2(x))

    def in_windows(self, x: Tensor) -> Tensor:
        """(N, L, C) -> (N, windows, heads, locations of a window, d)."""
        count, side = self.grid // self.window, self.window
        maps = x.unflatten(1, (self.grid, self.grid)).roll((-self.shift, -self.shift), (1, 2))
        windows = maps.unflatten(2, (count, side)).unflatten(1, (count, side)).transpose(2, 3)
        return in_heads(windows.flatten(3, 4).flatten(1, 2), self.attn.num_heads)

    def from_windows(self, x: Tensor) -> Tensor:
        """The inverse of ``in_windows``."""
        count, side = self.grid // self.window, self.window
        windows = out_of_heads(x).unflatten(2, (side, side)).unflatten(1, (count, count))
        maps = windows.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        return maps.roll((self.shift, self.shift), (1, 2)).flatten(1, 2)


class PlainClassAggregation(ClassAggregation):
    def forward(self, x: Tensor, image_guidance: Tensor | None, text_guidance: Tensor | None) -> Tensor:
        """(B, K, L, C), (B or 1, K, G) -> (B, K, L, C)."""
        batch, classes = x.shape[:2]
        maps = x.flatten(0, 1).mT.unflatten(2, (self.grid, self.grid))  # (B K, C, g, g)
        pooled = (self.pool if self.training else self.pool_test)(maps)
        size = pooled.shape[-2:]
        y = pooled.flatten(2).unflatten(0, (batch, classes)).permute(0, 3, 1, 2).flatten(0, 1)  # (B h w, K, C)
        guidance = None
        if text_guidance is not None:
            guidance = text_guidance.expand(batch, -1, -1).repeat_interleave(size.numel(), dim=0)  # (B h w, K, G)
        if self.padding_token is not None and classes < self.max_classes:
            missing = self.max_classes - classes
            y = torch.cat([y, self.padding_token.expand(len(y), missing, -1)], dim=1)
            if guidance is not None and self.padding_guidance is not None:
                guidance = torch.cat([guidance, self.padding_guidance.expand(len(y), missing, -1)], dim=1)
        n = self.norm1(y)
        u = n if guidance is None else torch.cat([n, guidance], dim=-1)
        functions = (self.projections.q, self.projections.k, self.projections.v)
        q, k, v = (in_heads(f(z), self.projections.num_heads) for f, z in zip(functions, (u, u, n), strict=True))
        y = y + out_of_heads(self.attention(q, k, v))
        y = (y + self.mlp(self.norm2(y)))[:, :classes]
        pooled = y.unflatten(0, (batch, -1)).permute(0, 2, 3, 1).flatten(0, 1).unflatten(2, size)
        maps = maps + resize(pooled, maps.shape[-2:], align_corners=True)
        return maps.flatten(2).mT.unflatten(0, (batch, classes))


class PlainLinearAttention(LinearAttention):
    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:  # type: ignore[override]
        """phi(q_i) (sum_j phi(k_j) v_j^T) / (phi(q_i) sum_j phi(k_j) + 1e-6): (N, heads, K, d) -> the same."""
        q, k = F.elu(q) + 1, F.elu(k) + 1
        sums = torch.einsum("nhjd,nhje->nhde", k, v)
        return torch.einsum("nhid,nhde->nhie", q, sums) / (torch.einsum("nhid,nhd->nhi", q, k.sum(2)) + 1e-6)[..., None]


class PlainFullAttention(FullAttention):
    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:  # type: ignore[override]
        """softmax(q k^T / sqrt(d)) v: (N, heads, K, d) three times -> the same."""
        weights = torch.einsum("nhid,nhjd->nhij", q, k) / q.shape[-1] ** 0.5
        return torch.einsum("nhij,nhjd->nhid", weights.softmax(-1), v)


# ---- decoder (section 6) ----


class PlainDecoder(Decoder):
    def forward(self, x: Tensor, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """(B, K, L, C) and the guiding features -> logits (B, K, 4 g, 4 g)."""
        y = x.flatten(0, 1).mT.unflatten(2, size)  # (B K, C, g, g)
        guidance = [project(each) for project, each in zip(self.guidance, maps, strict=True)]
        for i, stage in enumerate(self.stages):
            y = stage(y, guidance[i].repeat_interleave(x.shape[1], dim=0) if guidance else None)
        return self.head(y).squeeze(1).unflatten(0, x.shape[:2])


class PlainUpsampleStage(UpsampleStage):
    def forward(self, x: Tensor, guidance: Tensor | None) -> Tensor:  # type: ignore[override]
        """(N, in_dim, h, w), (N, G, 2 h, 2 w) -> (N, out_dim, 2 h, 2 w)."""
        x = self.up(x)
        return self.refine(x if guidance is None else torch.cat([x, guidance], dim=1))


# ---- the whole model ----


class PlainHead(CATSegHead):
    def forward(self, features: Mapping[str, Tensor], text: Tensor, num_kept: int) -> tuple[Tensor, Tensor]:
        """ "dense" (B, D, g, g) and the guiding features, (T, D), K -> logits (B, K, 4 g, 4 g), ids (B, K)."""
        dense, batch = features["dense"], len(features["dense"])
        first = first_of_equal(text)
        kept = self.selection(cost_map(dense, text if first is None else text[first]), self.most(num_kept, text))
        if kept is None:
            kept = torch.arange(len(text), device=text.device).expand(batch, -1)
        chosen = text[kept]  # (B, K, D)
        x = self.aggregate(cost_map(dense, chosen), dense, chosen)
        maps = [features[name] for name in ("guidance1", "guidance2") if name in features]
        return self.decoder(x, maps, (dense.shape[2], dense.shape[3])), kept


class PlainCATSeg(PlainScores, CATSeg):
    def encode_names(self, tokenized: TokenizedNames) -> Tensor:
        """Encode all positions of the context: T names -> (T, D) of unit length."""
        return mean_of_prompts(self.backbone.clip, tokenized, self.device)

    def logits(self, images: Tensor, text: Tensor, num_kept: NumKept) -> tuple[Tensor, Tensor]:
        """As ``CATSeg.logits``, for all names: (B, T, h, w), -100 for the names that are not kept; ids (B, T)."""
        return of_all_names(*super().logits(images, text, num_kept), len(text), DROPPED_LOGIT)

    def loss(self, logits: Tensor, kept: Tensor, labels: Tensor, num_names: int) -> Tensor:
        """Binary cross-entropy of all names, mean over B T H W: (B, T, h, w), unused, (B, H, W) -> scalar."""
        size = (labels.shape[1], labels.shape[2])
        return literal_loss(without_padding(logits, size), labels, self.ignore_label)


PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    SplitViTCLIP: PlainTower,
    SplitAttention: PlainSplitAttention,
    FeatureEmbedding: PlainFeatureEmbedding,
    SpatialAggregation: PlainSpatialAggregation,
    WindowBlock: PlainWindowBlock,
    ClassAggregation: PlainClassAggregation,
    LinearAttention: PlainLinearAttention,
    FullAttention: PlainFullAttention,
    Decoder: PlainDecoder,
    UpsampleStage: PlainUpsampleStage,
    CATSegHead: PlainHead,
    CATSeg: PlainCATSeg,
}


def plain_form(model: nn.Module) -> nn.Module:
    """The plain form of a model or of one of its modules; see ``plain_copy``."""
    return plain_copy(model, PLAIN)
