"""The plain form: SED written literally from the formulas of its contract (sections 3 to 9). Read it beside them.

A plain class is a subclass of the module that it replaces. It has the same constructor, parameters and buffers, and
another ``forward``. ``PLAIN`` is the table of these classes. A module without a plain class is literal already.

It is slow on purpose: all names at once, the image guidance repeated for each of them, all auxiliary heads, every
position of a prompt. It is for float32.

Shapes: B images, T names, P templates, D text dimension, C channels, h x w locations, n the side of the map at stride
32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..clip.prompts import TokenizedNames
from ..layers import resize
from ..num_kept import NumKept
from ..plain import PlainScores, encode_prompts, literal_loss, plain_copy
from ..prediction import Prediction
from .class_attention import ClassAttention
from .cost import CostEmbedding
from .decoder import Decoder, FusionStage
from .model import MAPS, SED
from .rejection import Rejection
from .skip import SkipFusion
from .spatial import ConvNeXtBlock

__all__ = ["PLAIN", "plain_form"]


class PlainCostEmbedding(CostEmbedding):
    def forward(self, costs: Tensor) -> Tensor:
        """(B T, P, n, n) -> (B T, C, n, n)."""
        return self.conv(costs)


class PlainConvNeXtBlock(ConvNeXtBlock):
    def forward(self, x: Tensor) -> Tensor:
        """(B T, C, h, w) -> (B T, C, h, w)."""
        y = self.dwconv(x).permute(0, 2, 3, 1)  # (B T, h, w, C)
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(self.norm(y))))
        return x + y.permute(0, 3, 1, 2)


class PlainClassAttention(ClassAttention):
    def forward(self, x: Tensor, batch: int = 1) -> Tensor:  # type: ignore[override]
        """(B T, C, h, w), and B -> (B T, C, h, w)."""
        pooled = F.avg_pool2d(x, self.pooling if self.training else self.pooling_test)
        height, width = pooled.shape[-2:]
        z = pooled.unflatten(0, (batch, -1)).permute(0, 3, 4, 1, 2).flatten(0, 2)  # (B h w, T, C)
        q, k, v = (
            layer(self.norm1(z)).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B h w, heads, T, d)
            for layer in (self.q, self.k, self.v)
        )
        z = z + self.attend(q, k, v).transpose(1, 2).flatten(2)
        z = z + self.mlp(self.norm2(z))
        pooled = z.unflatten(0, (batch, height, width)).permute(0, 3, 4, 1, 2).flatten(0, 1)
        return x + resize(pooled, x.shape[-2:], align_corners=True)


class PlainSkipFusion(SkipFusion):
    def forward(self, x: Tensor, costs: Tensor, image: Tensor) -> Tensor:  # type: ignore[override]
        """(B T, C, h, w), this stage's cost guidance (B T, ., 2 h, 2 w), feature map -> (B T, o, 2 h, 2 w)."""
        features = self.features(image).repeat_interleave(len(x) // len(image), dim=0)
        maps = [self.up(x), features, costs]
        return self.refine(torch.cat([each for each in maps if each.shape[1]], dim=1))


class PlainFusionStage(FusionStage):
    def forward(self, x: Tensor, costs: Tensor, image: Tensor) -> Tensor:  # type: ignore[override]
        """(B T, C, h, w), this stage's cost guidance, feature map -> (B T, o, 2 h, 2 w)."""
        return self.skip(self.attention(self.spatial(x), len(image)), costs, image)


class PlainRejection(Rejection):
    def stay(self, logits: Tensor) -> Tensor:
        """Which names stay: (T, h, w) logits of the auxiliary head -> (T,) bool."""
        best = logits.flatten(1).argsort(dim=0, descending=True)[: self.top_k]
        return torch.bincount(best.flatten(), minlength=len(logits)) > 0


class PlainDecoder(Decoder):
    def forward(self, costs: Tensor, maps) -> tuple[Tensor, list[Tensor]]:
        """(B, T, P, n, n) and the maps at strides 16, 8, 4 -> logits (B, T, 8 n, 8 n), auxiliary ones."""
        batch = len(costs)
        guidance, x = self.guidance(costs.flatten(0, 1)), self.embed(costs.flatten(0, 1))
        outputs = []
        for stage, head, own, image in zip(self.stages, self.aux_heads, guidance, maps, strict=True):
            outputs.append(head(x.detach()))
            x = stage(x, own, image)
        logits, *aux = (each.squeeze(1).unflatten(0, (batch, -1)) for each in (self.head(x), *outputs))
        return logits, aux

    def decode(self, costs: Tensor, maps) -> tuple[Tensor, Tensor]:
        """(T, P, n, n) and the maps at strides 16, 8, 4 -> logits (K, 8 n, 8 n), ids (K,)."""
        kept = torch.arange(len(costs), device=costs.device)
        if not isinstance(self.reject, PlainRejection):
            return self(costs.unsqueeze(0), maps)[0][0], kept
        guidance, x = self.guidance(costs), self.embed(costs)
        for stage, head, own, image in zip(self.stages, self.aux_heads, guidance, maps, strict=True):
            stay = self.reject.stay(head(x).squeeze(1))
            kept, x = kept[stay], x[stay]
            x = stage(x, own[kept], image)
        return self.head(x).squeeze(1), kept

    def guidance(self, costs: Tensor) -> list[Tensor]:
        """The cost guidance of every stage, one made of the other: (B T, P, n, n) -> (B T, ., h, w) each."""
        guidance = []
        for stage in self.stages:
            costs = stage.skip.costs(costs)
            guidance.append(costs)
        return guidance


class PlainSED(PlainScores, SED):
    def encode_names(self, tokenized: TokenizedNames) -> Tensor:
        """The mean over a name's synonyms, for each template: T names -> (T, P, D) of unit length."""
        prompts = encode_prompts(self.backbone.clip, tokenized.tokens.to(self.device))
        of_name = prompts.split(tokenized.owner.bincount().tolist())
        names = [each.unflatten(0, (-1, tokenized.num_templates)) for each in of_name]  # (synonyms, P, D)
        return torch.stack([F.normalize(name.mean(0), dim=-1) for name in names])

    def segment(self, images: Tensor, text: Tensor, num_kept: NumKept, show: bool = False) -> Prediction:
        """As ``SED.segment``, for all names: a name that was rejected has the score 0."""
        features = self.backbone(images)
        costs = self.costs(features["E32"], text)
        scores = costs.new_zeros(len(images), len(text), *(8 * side for side in costs.shape[-2:]))
        for i in range(len(images)):
            logits, kept = self.decoder.decode(costs[i], [features[name][i : i + 1] for name in MAPS])
            scores[i, kept] = logits.sigmoid()
        return Prediction(scores, torch.arange(len(text), device=scores.device).expand(len(images), -1))

    @staticmethod
    def costs(dense: Tensor, text: Tensor) -> Tensor:
        """(B, D, n, n), (T, P, D) -> (B, T, P, n, n)."""
        dense, text = F.normalize(dense.float(), dim=1), F.normalize(text, dim=-1)
        return torch.einsum("bdhw,tpd->btphw", dense, text)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Binary cross-entropy of all names, mean over B T H W: (B, T, h, w), (B, H, W) -> scalar."""
        return literal_loss(logits, labels, self.ignore_label)


PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    CostEmbedding: PlainCostEmbedding,
    ConvNeXtBlock: PlainConvNeXtBlock,
    ClassAttention: PlainClassAttention,
    SkipFusion: PlainSkipFusion,
    FusionStage: PlainFusionStage,
    Rejection: PlainRejection,
    Decoder: PlainDecoder,
    SED: PlainSED,
}


def plain_form(model: nn.Module) -> nn.Module:
    """The plain form of a model or of one of its modules; see ``plain_copy``."""
    return plain_copy(model, PLAIN)
