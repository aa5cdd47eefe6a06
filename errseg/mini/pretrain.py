"""Pretrain the mini CLIP: first contrastively on crops and captions, then densely on whole scenes.

Shapes: B images, U different captions, N names, D embedding width, H x W pixels.
"""

import logging
import math
import random
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .crops import CropSampler, Scenes, caption_words, jitter_light, phrase, to_input
from .embeddings import dense_embeddings, image_embeddings
from .muon import Muon
from .world import NEGATIVES, parts

__all__ = ["Phase", "region_loss", "text_embeddings", "train_contrastive", "train_dense"]

logger = logging.getLogger(__name__)

TEMPLATE = "A photo of a {} in the scene"  # as in ERR-Seg
TEMPLATES = (TEMPLATE, "a photo of a {}", "{}")
LOG_PERIOD = 50
CROP_WEIGHT = 0.1  # beside the dense loss. Adam and Muon do not depend on the scale of the class token's own gradients
LABELLED = slice(2, None, 4)  # the dense loss is computed at every fourth pixel


class Phase(NamedTuple):
    """The settings of a training phase.

    Attributes:
        steps: number of steps.
        batch: images in each step.
        image_lr, text_lr: the peak learning rates of the two towers.
        blocks_lr: the peak learning rate of the matrices of transformer blocks, which Muon trains then; None: AdamW
            trains them like the rest of their tower.
    """

    steps: int
    batch: int
    image_lr: float
    text_lr: float
    blocks_lr: float | None = None


class Optimiser:
    """SparseAdam for the token embedding, of whose 49,408 rows a batch uses a few dozen; Muon for the matrices of
    transformer blocks, if they have a rate; AdamW for all other weights.

    Args:
        clip: the model; its token embedding is set to give sparse gradients.
        phase: the learning rates, and the number of steps of the schedule.
    """

    WARMUP = 0.05

    def __init__(self, clip: nn.Module, phase: Phase):
        clip.token_embedding.sparse = True
        tokens = clip.token_embedding.weight
        by_muon = _matrices_of_blocks(clip) if phase.blocks_lr else []
        others = {id(tokens), *map(id, by_muon)}
        groups = []
        for of_image, lr in ((True, phase.image_lr), (False, phase.text_lr)):
            members = [p for n, p in clip.named_parameters() if n.startswith("visual.") == of_image]
            members = [p for p in members if id(p) not in others]
            groups.append({"params": [p for p in members if p.ndim > 1], "lr": lr, "weight_decay": 0.05})
            groups.append({"params": [p for p in members if p.ndim <= 1], "lr": lr, "weight_decay": 0.0})
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(groups, betas=(0.9, 0.98)),
            torch.optim.SparseAdam([tokens], lr=phase.text_lr, betas=(0.9, 0.98)),
        ]
        if phase.blocks_lr:
            self.optimisers.append(Muon(by_muon, phase.blocks_lr))
        self.peaks = [group["lr"] for opt in self.optimisers for group in opt.param_groups]
        self.steps, self.taken = phase.steps, 0

    def step(self, loss: Tensor) -> None:
        """Update the weights by the gradient of ``loss``. The rates rise linearly, then fall to 0 along a cosine."""
        self.taken += 1
        progress = self.taken / self.steps
        decay = 0.5 + 0.5 * math.cos(math.pi * (progress - self.WARMUP) / (1 - self.WARMUP))
        factor = min(progress / self.WARMUP, decay)
        groups = [group for opt in self.optimisers for group in opt.param_groups]
        for group, peak in zip(groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        for opt in self.optimisers:
            opt.zero_grad()
        loss.backward()
        for opt in self.optimisers:
            opt.step()


def _matrices_of_blocks(clip: nn.Module) -> list[nn.Parameter]:
    return [p for name, p in clip.named_parameters() if "resblocks." in name and p.ndim == 2]


class Progress:
    """Logs the mean loss of every ``LOG_PERIOD`` steps."""

    def __init__(self, title: str, steps: int):
        self.title, self.steps, self.losses, self.start = title, steps, [], time.perf_counter()

    def __call__(self, loss: Tensor) -> None:
        """Add the loss of one step."""
        self.losses.append(float(loss.detach()))
        if len(self.losses) % LOG_PERIOD == 0 or len(self.losses) == self.steps:
            recent = self.losses[-LOG_PERIOD:]
            logger.info(
                "%s %d/%d  loss %.3f  %.0f s",
                self.title,
                len(self.losses),
                self.steps,
                sum(recent) / len(recent),
                time.perf_counter() - self.start,
            )


def text_embeddings(clip: nn.Module, tokenizer: Callable, names: Sequence[str]) -> Tensor:
    """The embeddings (N, D), of unit length, of ERR-Seg's prompts for ``names``."""
    return clip.encode_text(tokenizer([TEMPLATE.format(name) for name in names]), normalize=True)


def train_contrastive(clip: nn.Module, tokenizer: Callable, scenes: Scenes, phase: Phase, seed: int = 0) -> None:
    """Train with CLIP's loss on crops and captions. A caption may be true for several crops: all of them are positives.

    A few captions of each batch are true for no crop, like most captions of a web-scale batch. Without them, the words
    of the distractor names would have arbitrary embeddings.
    """
    sampler, rng = CropSampler(scenes), random.Random(seed)
    optimiser, progress = Optimiser(clip, phase), Progress("contrastive", phase.steps)
    clip.train()
    for _ in range(phase.steps):
        crops, names = zip(*(sampler(rng) for _ in range(phase.batch)), strict=True)
        captions = {}
        for name in names:
            words = caption_words(name, rng)
            captions.setdefault(words, rng.choice(TEMPLATES).format(phrase(name, words)))
        for name in rng.sample(NEGATIVES, phase.batch // 8):
            captions[frozenset(parts(name))] = rng.choice(TEMPLATES).format(name)
        true = torch.tensor([[words <= set(parts(name)) for words in captions] for name in names])
        image = image_embeddings(clip, to_input(crops))
        text = clip.encode_text(tokenizer(list(captions.values())), normalize=True)
        logits = clip.logit_scale.exp().clamp(max=100) * image @ text.T
        depicted = true.any(dim=0)
        loss = (multi_positive_loss(logits, true) + multi_positive_loss(logits.T[depicted], true.T[depicted])) / 2
        optimiser.step(loss)
        progress(loss)


def multi_positive_loss(logits: Tensor, positive: Tensor) -> Tensor:
    """Cross-entropy of the rows of logits (N, M); the positives (N, M) bool of a row share the target equally."""
    target = positive.float() / positive.sum(dim=1, keepdim=True)
    return F.cross_entropy(logits, target)


def train_dense(
    clip: nn.Module,
    tokenizer: Callable,
    scenes: Scenes,
    phase: Phase,
    seed: int = 0,
    crops: int = 0,
    regions: bool = False,
) -> None:
    """Train the dense embeddings by cross-entropy over the scenes' names and some distractors, at every location.

    In the last quarter, the batch norms' statistics are fixed, as they are in ERR-Seg: the two scales share them.

    Args:
        clip: the model.
        tokenizer: its tokenizer.
        scenes: the training scenes.
        phase: the settings; its batch counts scenes.
        seed: of scenes, crops and distractors.
        crops: a class token has no part in the dense embedding. To keep it aligned with text, this number of crops in
            each step is classified by ``image_embeddings`` among the same names.
        regions: each region is also classified by its mean embedding, as DeOP does. Parts of a shape, such as its
            corners, then need not name it alone.
    """
    rng, sampler = random.Random(seed), CropSampler(scenes)
    optimiser, progress = Optimiser(clip, phase), Progress("dense", phase.steps)
    clip.train()
    for step in range(phase.steps):
        if step >= 0.75 * phase.steps:
            _fix_statistics(clip)
        index = [rng.randrange(len(scenes.images)) for _ in range(phase.batch)]
        flip = -1 if rng.random() < 0.5 else 1
        images = to_input([jitter_light(scenes.images[i, :, ::flip].copy(), rng) for i in index])
        labels = scenes.labels[index, :, ::flip][:, LABELLED, LABELLED]
        labels = torch.from_numpy(labels.astype("int64"))
        names = [*scenes.names, *rng.sample(NEGATIVES, len(scenes.names) // 8)]
        text = clip.logit_scale.exp().clamp(max=100) * text_embeddings(clip, tokenizer, names)
        weights = _region_weights(labels, len(names))
        maps = dense_embeddings(clip, images)
        loss = sum(_dense_loss(dense, text, labels, weights) for dense in maps) / len(maps)
        if regions:
            loss = loss + sum(region_loss(dense, text, labels) for dense in maps) / len(maps)
        if crops:
            pixels, of_crops = zip(*(sampler(rng) for _ in range(crops)), strict=True)
            image = image_embeddings(clip, to_input(pixels))
            answers = torch.tensor([names.index(name) for name in of_crops])
            loss = loss + CROP_WEIGHT * F.cross_entropy(image @ text.T, answers)
        optimiser.step(loss)
        progress(loss)


def _dense_loss(dense: Tensor, text: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy of (B, D, h, w) embeddings, resized as logits, against labels (B, H, W)."""
    logits = torch.einsum("bdhw,nd->bnhw", dense, text)
    logits = F.interpolate(logits, size=labels.shape[-2:], mode="bilinear")
    return (weights * F.cross_entropy(logits, labels, reduction="none")).sum()


def region_loss(dense: Tensor, text: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the regions of (B, H, W) labels, each by its mean embedding, of unit length, in (B, D, h, w)."""
    means, names = [], []
    for embedding, of_image in zip(dense, labels, strict=True):
        ids = of_image.unique()
        shares = F.interpolate((of_image == ids.view(-1, 1, 1)).float().unsqueeze(1), embedding.shape[-2:], mode="area")
        means.append(F.normalize(shares.flatten(1) @ embedding.flatten(1).T, dim=1))
        names.append(ids)
    return F.cross_entropy(torch.cat(means) @ text.T, torch.cat(names))


def _region_weights(labels: Tensor, num_names: int) -> Tensor:
    """Pixel weights (B, H, W) of sum 1. A region of A pixels has a weight in proportion to sqrt(A).

    Large grounds would outweigh small objects otherwise.
    """
    regions = labels + num_names * torch.arange(len(labels)).view(-1, 1, 1)
    weights = torch.bincount(regions.flatten()).float()[regions].rsqrt()
    return weights / weights.sum()


def _fix_statistics(clip: nn.Module) -> None:
    for module in clip.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
