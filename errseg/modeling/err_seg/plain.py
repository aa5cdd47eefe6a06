"""The plain form: ERR-Seg written literally from its formulas, on the weights of a model.

It repeats the guidance for every class and location, concatenates it, encodes all of a prompt's positions, and
predicts and trains on all T channels. It computes the same function as the model and is slow on purpose: the tests'
oracle and the benchmark's baseline.

Shapes: B images, T names, K classes kept, D text dimension, C channels, H x W locations at stride 16.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import resize
from ..prediction import picture_size
from .crm import KeepAll
from .escf import CSR, ESCF, SFM, SSR
from .gud import GUD, Guidance
from .head import cost_map
from .hsm import HSM
from .layers import Attention, StarMLP
from .model import DROPPED_LOGIT


class PlainForm(nn.Module):
    """The plain form of a model, whose weights it shares; for float32.

    Args:
        model: an ``ERRSeg`` with the paper's modules or their ablations.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def embed_names(self, names: Sequence[str]) -> Tensor:
        """T names with one prompt each -> (T, D) of unit length, through every position of the context."""
        tokens = self.model.prompter.tokenizer([self.model.prompter.prompts(name)[0] for name in names])
        tokens = tokens.to(self.model.device)
        parts = [tokens] if torch.is_grad_enabled() else tokens.split(128)
        return torch.cat([F.normalize(self.model.backbone.clip.encode_text(part), dim=-1) for part in parts])

    def forward(self, batched_inputs: list[dict], text: Tensor | None = None) -> dict[str, Tensor] | list[Tensor]:
        """In training the loss, otherwise each image's (T, height, width) scores.

        Args:
            batched_inputs: as the model's.
            text: (T, D); None: the names are encoded, as in training.
        """
        model, training = self.model, self.model.training
        text = self.embed_names(model.vocabulary.names) if text is None else text
        resolution = model.resolution_train if training else model.views.resolution
        images = torch.cat([model.preprocess(x["image"], (resolution, resolution)) for x in batched_inputs])
        present, num_kept = None, model.vocabulary.num_kept
        if training:
            labels = model.stack_labels(batched_inputs)
            present = model.present_names(labels, batched_inputs, len(model.vocabulary.names))
            num_kept = max(model.num_kept_train, int(present.sum(1).max()))
            present, labels = present.to(images.device), labels.to(images.device)
        logits = self.logits(images, text, num_kept, present)
        if training:
            return {"loss_sem_seg": dense_loss(logits, labels, model.ignore_label)}
        sizes = map(picture_size, batched_inputs)
        return [resize(each.sigmoid()[None], size)[0] for each, size in zip(logits, sizes, strict=True)]

    def logits(self, images: Tensor, text: Tensor, num_kept: int, present: Tensor | None = None) -> Tensor:
        """(B, 3, R, R), (T, D) -> (B, T, h, w), -100 for the names that CRM dropped."""
        head, features = self.model.sem_seg_head, self.model.backbone(images)
        size = features["os16"].shape[-2:]
        costs = [cost_map(features[name], text) for name in head.embeddings]  # (B, T, H, W), (B, T, h, w)
        kept = keep_classes(head.crm, resize(costs[0], size), num_kept, present)
        costs = [cost.gather(1, kept[..., None, None].expand(-1, -1, *cost.shape[-2:])) for cost in costs]
        x = hsm(head.hsm, costs, size)  # (B, K, C, H, W)
        guides = {name: features[name].clamp(-16, 16) for name in {*head.fusion_maps, *head.decoder_maps}}
        x = escf(head.escf, x, [guides[name] for name in head.fusion_maps], text[kept])
        logits = gud(head.gud, x, [guides[name] for name in head.decoder_maps])
        dense = logits.new_full((len(images), len(text), *logits.shape[-2:]), DROPPED_LOGIT)
        return dense.scatter(1, kept[..., None, None].expand_as(logits), logits)


def keep_classes(crm: nn.Module, costs: Tensor, num_kept: int, present: Tensor | None) -> Tensor:
    """CRM by ranks and points, location by location: (B, T, H, W) -> (B, K) ids (Eqs. 5 and 6)."""
    batch, num_names = costs.shape[:2]
    if isinstance(crm, KeepAll) or num_kept >= num_names:
        return torch.arange(num_names, device=costs.device).expand(batch, -1)
    ranked = costs.detach().flatten(2).sort(dim=1, descending=True).indices
    scores = costs.new_zeros(batch, num_names, dtype=torch.float64)
    for rank in range(min(crm.top_categories, num_names)):
        points = torch.full_like(scores[:, :1], crm.score_coefficient**rank)
        scores.scatter_add_(1, ranked[:, rank], points.expand(-1, ranked.shape[2]))
    if present is not None:
        scores[present] = torch.inf
    order = scores.float().sort(dim=1, descending=True, stable=True).indices  # the lower id of equal scores
    return order[:, :num_kept].sort(dim=1).values


def hsm(module: nn.Module, costs: list[Tensor], size: tuple[int, int]) -> Tensor:
    """Eq. 4: (B, K, H, W) and (B, K, h, w) -> (B, K, C, H, W)."""
    maps = [cost.flatten(0, 1).unsqueeze(1) for cost in costs]
    if isinstance(module, HSM):
        x = (module.proj16(maps[0]) + resize(module.proj32(maps[1]), size)) / 2
    else:
        x = module.proj(resize(maps[0], size))
    return module.fuse(x).unflatten(0, costs[0].shape[:2])


def escf(module: nn.Module, x: Tensor, maps: list[Tensor], text: Tensor) -> Tensor:
    """Section III-D: (B, K, C, H, W) -> the same."""
    if not isinstance(module, ESCF):
        return x
    return fuse_plainly(module, x, module.image_guidance(maps, x.shape[-2:]), module.text_guidance(text))


def fuse_plainly(module: ESCF, x: Tensor, image_guidance: Tensor, text_guidance: Tensor) -> Tensor:
    """ESCF's layers alone: (B, K, C, H, W), (B, H, W, C), (B, K, C) -> (B, K, C, H, W)."""
    for layer in module.layers:
        x = sfm(layer, x, image_guidance) if isinstance(layer, SFM) else class_fusion(layer, x, text_guidance)
    return x


def sfm(module: SFM, x: Tensor, guidance: Tensor) -> Tensor:
    """The guidance of a location stands beside each class's token there: (B, K, C, H, W), (B, H, W, C) -> x's shape."""
    batch_classes, size = x.shape[:2], x.shape[-2:]
    guidance = guidance.flatten(1, 2).repeat_interleave(batch_classes[1], dim=0)
    tokens = x.flatten(0, 1).flatten(2).transpose(1, 2)  # (B K, H W, C)
    z = module.norm1(tokens)
    guided = torch.cat([z, guidance], dim=-1)
    keys, values = reduce_tokens(module.reduce_k, guided, size), reduce_tokens(module.reduce_v, z, size)
    tokens = tokens + module.drop_path(attention(module.attention, guided, keys, values))
    mixed = mlp(module.mlp, module.norm2(tokens)).transpose(1, 2).unflatten(2, size)
    tokens = tokens + module.drop_path(module.dwconv(mixed).flatten(2).transpose(1, 2))
    return tokens.transpose(1, 2).unflatten(2, size).unflatten(0, batch_classes)


def reduce_tokens(module: nn.Module, tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """SSR (Eqs. 20 and 21): (N, H W, C) -> (N, H W / ratio^2, C)."""
    if not isinstance(module, SSR):
        return tokens
    return module.norm(module.conv(tokens.transpose(1, 2).unflatten(2, size)).flatten(2).transpose(1, 2))


def class_fusion(module: nn.Module, x: Tensor, guidance: Tensor) -> Tensor:
    """CFM, behind CSR's pooling where there is one: (B, K, C, H, W), (B, K, C) -> x's shape."""
    if not isinstance(module, CSR):
        return cfm(module, x, guidance)
    pooled = module.pool(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    fused = cfm(module.fusion, pooled, guidance).flatten(0, 1)
    return x + resize(fused, x.shape[-2:], align_corners=True).unflatten(0, x.shape[:2])


def cfm(module: nn.Module, x: Tensor, guidance: Tensor) -> Tensor:
    """The guidance of a class stands beside its token at each location: (B, K, C, H, W), (B, K, C) -> x's shape."""
    batch, _, _, height, width = x.shape
    guidance = guidance.repeat_interleave(height * width, dim=0)
    tokens = x.permute(0, 3, 4, 1, 2).flatten(0, 2)  # (B H W, K, C)
    z = module.norm1(tokens)
    guided = torch.cat([z, guidance], dim=-1)
    tokens = tokens + module.drop_path(attention(module.attention, guided, guided, z))
    tokens = tokens + module.drop_path(F.relu6(mlp(module.mlp, module.norm2(tokens))))
    return tokens.unflatten(0, (batch, height, width)).permute(0, 3, 4, 1, 2)


def attention(module: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(N, L, 2 C), (N, M, 2 C), (N, M, C) -> (N, L, C)."""
    q, k, v = (
        layer(x).unflatten(-1, (module.num_heads, -1)).transpose(1, 2)
        for layer, x in ((module.q, query), (module.k, key), (module.v, value))
    )
    return module.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def mlp(module: nn.Module, x: Tensor) -> Tensor:
    """Eqs. 22-24, or the plain MLP of Table IX: (..., C) -> the same."""
    hidden = F.relu6(module.fc1(x))
    return module.fc3(hidden * module.fc2(x) if isinstance(module, StarMLP) else hidden)


def gud(module: nn.Module, x: Tensor, maps: list[Tensor]) -> Tensor:
    """Section III-E: (B, K, C, H, W) -> logits (B, K, 4 H, 4 W), or at stride 16 without GUD."""
    batch_classes, x = x.shape[:2], x.flatten(0, 1)
    if isinstance(module, GUD):
        for stage, image in zip(module.stages, maps, strict=True):
            x = stage.up(x)
            if isinstance(stage.guidance, Guidance):
                guidance = resize(stage.guidance.proj(module.stop_gradient(image)), x.shape[-2:])
                x = torch.cat([x, guidance.repeat_interleave(batch_classes[1], dim=0)], dim=1)
            x = stage.refine(x)
    return module.head(x).squeeze(1).unflatten(0, batch_classes)


def dense_loss(logits: Tensor, labels: Tensor, ignore_label: int) -> Tensor:
    """Binary cross-entropy of all T channels: (B, T, h, w), (B, H, W) -> scalar."""
    logits = resize(logits, labels.shape[-2:])
    targets = F.one_hot(labels.masked_fill(labels == ignore_label, logits.shape[1]), logits.shape[1] + 1)
    return F.binary_cross_entropy_with_logits(logits, targets[..., :-1].permute(0, 3, 1, 2).to(logits.dtype))
