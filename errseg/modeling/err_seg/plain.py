"""The plain form: ERR-Seg written literally from the formulas of its paper. Read it beside the paper.

A plain class is a subclass of the module that it replaces. It has the same constructor, parameters and buffers, and
another ``forward``. ``PLAIN`` is the table of these classes. A module without a plain class is literal already.

The plain form computes the same function as the model, and it is slow on purpose: it repeats the guidance for every
class or location and concatenates it, encodes every position of a prompt, and computes the scores and the loss of all T
names. The tests compare the model with it, and the benchmark measures both. It is for float32.

Shapes: B images, T names, K classes kept, D text dimension, C channels, H x W locations at stride 16; a cost embedding
is (B, K, H, W, C).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..clip.prompts import TokenizedNames
from ..cost_map import cost_map
from ..layers import resize
from ..num_kept import AutoKept, NumKept
from ..plain import PlainScores, literal_loss, mean_of_prompts, of_all_names, plain_copy
from .crm import CRM
from .escf import CFM, CSR, SFM, SSR, NoReduction
from .gud import GUD, Guidance, HeadOnly, NoGuidance, UpsampleStage
from .head import ERRSegHead, guide
from .hsm import HSM, SingleScale
from .layers import MLP, Attention, StarMLP
from .model import DROPPED_LOGIT, ERRSeg

__all__ = ["PLAIN", "plain_form"]


# ---- Hierarchical Semantic Module (III-B) ----


class PlainHSM(HSM):
    def forward(self, cost16: Tensor, cost32: Tensor, size: tuple[int, int]) -> Tensor:
        """Eq. 4, one class at a time: (B, K, H, W), (B, K, h, w) and (H, W) -> (B, K, H, W, C)."""
        x16 = self.proj16(cost16.flatten(0, 1).unsqueeze(1))  # (B K, 2 C, H, W)
        x32 = self.proj32(cost32.flatten(0, 1).unsqueeze(1))  # (B K, 2 C, h, w)
        x = self.fuse((x16 + resize(x32, size)) / 2)
        return x.unflatten(0, cost16.shape[:2]).permute(0, 1, 3, 4, 2)


class PlainSingleScale(SingleScale):
    def forward(self, cost: Tensor, size: tuple[int, int]) -> Tensor:
        """Table V, "w/o HSM": (B, K, h, w) and (H, W) -> (B, K, H, W, C)."""
        x = self.fuse(self.proj(resize(cost, size).flatten(0, 1).unsqueeze(1)))
        return x.unflatten(0, cost.shape[:2]).permute(0, 1, 3, 4, 2)


# ---- Channel Reduction Module (III-C) ----


class PlainCRM(CRM):
    @torch.no_grad()
    def forward(  # type: ignore[override]
        self, cost_map: Tensor, num_kept: NumKept, present: Tensor | None = None
    ) -> Tensor:
        """(B, T, H, W) cosines -> (B, K) ids, ascending. Of equal scores, the lower id stays."""
        batch, num_names = cost_map.shape[:2]
        if not isinstance(num_kept, AutoKept) and num_kept >= num_names:
            return torch.arange(num_names, device=cost_map.device).expand(batch, -1)
        ranked = cost_map.flatten(2).sort(dim=1, descending=True).indices  # Eq. 5, (B, T, H W)
        scores = cost_map.new_zeros(batch, num_names, dtype=torch.float64)
        for rank in range(min(self.top_categories, num_names)):  # Eq. 6
            points = torch.full_like(ranked[:, rank], self.score_coefficient**rank, dtype=torch.float64)
            scores.scatter_add_(1, ranked[:, rank], points)
        if present is not None:
            scores[present] = torch.inf
        if isinstance(num_kept, AutoKept):  # of one image
            reached = int((scores.float() / cost_map[0, 0].numel() >= num_kept.threshold).sum())
            known = 0 if present is None else int(present.sum())
            num_kept = max(min(max(reached, num_kept.least), num_kept.most), known)
        best = scores.float().sort(dim=1, descending=True, stable=True).indices
        return best[:, :num_kept].sort(dim=1).values


# ---- Efficient Semantic Context Fusion (III-D) ----


class PlainSFM(SFM):
    def forward(self, x: Tensor, image_guidance: Tensor, text_guidance: Tensor) -> Tensor:  # type: ignore[override]
        """(B, K, H, W, C), (B, H, W, C), unused -> (B, K, H, W, C)."""
        batch, classes, height, width, _ = x.shape
        x = x.flatten(0, 1)  # (B K, H, W, C)
        z = self.norm1(x)
        u = torch.cat([z, image_guidance.repeat_interleave(classes, dim=0)], dim=-1)  # (B K, H, W, 2 C)
        q = self.attention.q(u.flatten(1, 2))
        k = self.reduce_k(self.attention.k, u)
        v = self.reduce_v(self.attention.v, z)
        x = x + self.drop_path(self.attention(q, k, v).unflatten(1, (height, width)))
        mixed = self.mlp(self.norm2(x)).permute(0, 3, 1, 2)
        x = x + self.drop_path(self.dwconv(mixed).permute(0, 2, 3, 1))
        return x.unflatten(0, (batch, classes))


class PlainSSR(SSR):
    def forward(self, layer: nn.Linear, x: Tensor, share: Tensor | None = None) -> Tensor:
        """Eqs. 20 and 21, no share: (N, H, W, C) -> (N, H W / ratio^2, C)."""
        reduced = self.conv(x.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
        return layer(self.norm(reduced))


class PlainNoReduction(NoReduction):
    def forward(self, layer: nn.Linear, x: Tensor, share: Tensor | None = None) -> Tensor:
        """Table X, without SSR, no share: (N, H, W, C) -> (N, H W, C)."""
        return layer(x.flatten(1, 2))


class PlainCFM(CFM):
    def forward(self, x: Tensor, image_guidance: Tensor, text_guidance: Tensor) -> Tensor:  # type: ignore[override]
        """(B, K, H, W, C), unused, (B, K, C) -> (B, K, H, W, C)."""
        batch, _, height, width, _ = x.shape
        x = x.permute(0, 2, 3, 1, 4).flatten(0, 2)  # (B H W, K, C)
        z = self.norm1(x)
        u = torch.cat([z, text_guidance.repeat_interleave(height * width, dim=0)], dim=-1)  # (B H W, K, 2 C)
        x = x + self.drop_path(self.attention(self.attention.q(u), self.attention.k(u), self.attention.v(z)))
        x = x + self.drop_path(F.relu6(self.mlp(self.norm2(x))))
        return x.unflatten(0, (batch, height, width)).permute(0, 3, 1, 2, 4)


class PlainCSR(CSR):
    def forward(self, x: Tensor, image_guidance: Tensor, text_guidance: Tensor) -> Tensor:  # type: ignore[override]
        """III-D2: pool, fuse, resize, add the input: (B, K, H, W, C), unused, (B, K, C) -> (B, K, H, W, C)."""
        maps = x.flatten(0, 1).permute(0, 3, 1, 2)  # (B K, C, H, W)
        pooled = self.pool(maps).permute(0, 2, 3, 1).unflatten(0, x.shape[:2])
        fused = self.fusion(pooled, image_guidance, text_guidance).flatten(0, 1).permute(0, 3, 1, 2)
        maps = maps + resize(fused, maps.shape[-2:], align_corners=True)
        return maps.permute(0, 2, 3, 1).unflatten(0, x.shape[:2])


class PlainAttention(Attention):
    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:  # type: ignore[override]
        """softmax(q k^T / sqrt(d)) v in every head: (N, L, C), (N, M, C) twice -> (N, L, C)."""
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (q, k, v))  # (N, heads, L, d)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class PlainStarMLP(StarMLP):
    def forward(self, x: Tensor) -> Tensor:
        """Eqs. 22 to 24: (..., C) -> (..., C)."""
        return self.fc3(F.relu6(self.fc1(x)) * self.fc2(x))


class PlainMLP(MLP):
    def forward(self, x: Tensor) -> Tensor:
        """Table IX, without the star operation: (..., C) -> (..., C)."""
        return self.fc3(F.relu6(self.fc1(x)))


# ---- Gradual Upsampling Decoder (III-E) ----


class PlainGUD(GUD):
    def forward(self, x: Tensor, maps: list[Tensor]) -> Tensor:
        """(B, K, H, W, C) and the maps at strides 16, 8 and 4 -> logits (B, K, 4 H, 4 W)."""
        batch, classes = x.shape[:2]
        x = x.flatten(0, 1).permute(0, 3, 1, 2)  # (B K, C, H, W)
        for stage, image in zip(self.stages, maps, strict=True):
            x = stage(x, self.stop_gradient(image))
        return self.head(x).squeeze(1).unflatten(0, (batch, classes))


class PlainUpsampleStage(UpsampleStage):
    def forward(self, x: Tensor, image: Tensor) -> Tensor:  # type: ignore[override]
        """(B K, in_dim, h, w), (B, image_dim, h', w') -> (B K, out_dim, scale h, scale w)."""
        return self.refine(self.guidance(self.up(x), image))


class PlainGuidance(Guidance):
    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """[x ; guidance]: (B K, C, h, w), (B, image_dim, h', w') -> (B K, C + guidance_dim, h, w)."""
        guidance = resize(self.proj(image), x.shape[-2:])
        return torch.cat([x, guidance.repeat_interleave(len(x) // len(image), dim=0)], dim=1)


class PlainNoGuidance(NoGuidance):
    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """Table XI, without the guidance of stride 16."""
        return x


class PlainHeadOnly(HeadOnly):
    def forward(self, x: Tensor, maps: list[Tensor]) -> Tensor:
        """Table V, "w/o GUD": (B, K, H, W, C) -> logits (B, K, H, W)."""
        return self.head(x.flatten(0, 1).permute(0, 3, 1, 2)).squeeze(1).unflatten(0, x.shape[:2])


# ---- the whole model (III-A, Fig. 3) ----


class PlainHead(ERRSegHead):
    def forward(
        self, features: dict[str, Tensor], text: Tensor, num_kept: NumKept, present: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The encoder's maps, (T, D), K and (B, T) bool -> logits (B, K, h, w), ids (B, K)."""
        size = features["os16"].shape[-2:]
        costs = [cost_map(features[name], text) for name in self.embeddings]  # Eq. 3; (B, T, H, W), (B, T, h, w)
        kept = self.crm(resize(costs[0], size), num_kept, present)  # (B, K)
        costs = [cost.gather(1, kept[..., None, None].expand(-1, -1, *cost.shape[-2:])) for cost in costs]
        x = self.hsm(*costs, size=size)  # (B, K, H, W, C)
        x = self.escf(x, [guide(features[name]) for name in self.fusion_maps], text[kept])
        return self.gud(x, [guide(features[name]) for name in self.decoder_maps]), kept


class PlainERRSeg(PlainScores, ERRSeg):
    def encode_names(self, tokenized: TokenizedNames) -> Tensor:
        """The mean over a name's prompts, encoded at all positions of the context: T names -> (T, D) of unit length."""
        return mean_of_prompts(self.backbone.clip, tokenized, self.device)

    def logits(
        self, images: Tensor, text: Tensor, num_kept: NumKept, present: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As ``ERRSeg.logits``, for all names: (B, T, h, w), -100 for the names that CRM dropped; ids (B, T)."""
        if isinstance(num_kept, AutoKept) and len(images) > 1:  # each image alone, with its own K
            known = [None] * len(images) if present is None else present.split(1)
            alone = [self.logits(x, text, num_kept, names) for x, names in zip(images.split(1), known, strict=True)]
            dense, ids = (torch.cat(parts) for parts in zip(*alone, strict=True))
            return dense, ids
        logits, kept = self.sem_seg_head(self.backbone(images), text, num_kept, present)
        return of_all_names(logits, kept, len(text), DROPPED_LOGIT)

    def loss(self, logits: Tensor, kept: Tensor, labels: Tensor, num_names: int) -> Tensor:
        """Binary cross-entropy of all names, mean over B T H W: (B, T, h, w), unused, (B, H, W) -> scalar."""
        return literal_loss(logits, labels, self.ignore_label)


PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    HSM: PlainHSM,
    SingleScale: PlainSingleScale,
    CRM: PlainCRM,
    SFM: PlainSFM,
    SSR: PlainSSR,
    NoReduction: PlainNoReduction,
    CFM: PlainCFM,
    CSR: PlainCSR,
    Attention: PlainAttention,
    StarMLP: PlainStarMLP,
    MLP: PlainMLP,
    GUD: PlainGUD,
    UpsampleStage: PlainUpsampleStage,
    Guidance: PlainGuidance,
    NoGuidance: PlainNoGuidance,
    HeadOnly: PlainHeadOnly,
    ERRSegHead: PlainHead,
    ERRSeg: PlainERRSeg,
}


def plain_form(model: nn.Module) -> nn.Module:
    """The plain form of a model or of one of its modules; see ``plain_copy``."""
    return plain_copy(model, PLAIN)
