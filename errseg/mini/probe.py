"""Scores of a pretrained mini CLIP before ERR-Seg: zero-shot accuracy on crops, and recall of CRM's selection."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from errseg.modeling.err_seg.crm import CRM

from .crops import CropSampler, Scenes, to_input
from .pretrain import dense_embeddings, text_embeddings

__all__ = ["crop_accuracy", "selection_recall"]

BATCH = 50


@torch.no_grad()
def crop_accuracy(clip: nn.Module, tokenizer: Callable, scenes: Scenes, limit: int = 400) -> float:
    """The share, in percent, of object crops whose name ranks first among all names of the scenes' vocabulary."""
    clip.eval()
    sampler = CropSampler(scenes)
    objects = sampler.objects[:limit]
    text = text_embeddings(clip, tokenizer, scenes.names)
    right = 0
    for start in range(0, len(objects), BATCH):
        batch = objects[start : start + BATCH]
        image = clip.encode_image(to_input([sampler.centred(instance) for instance in batch]), normalize=True)
        right += int(((image @ text.T).argmax(dim=1) == torch.tensor([instance.label for instance in batch])).sum())
    return 100 * right / len(objects)


@torch.no_grad()
def selection_recall(clip: nn.Module, tokenizer: Callable, scenes: Scenes, num_classes: int) -> float:
    """The share, in percent, of the names in the scenes that CRM keeps if it keeps ``num_classes`` names."""
    clip.eval()
    text = text_embeddings(clip, tokenizer, scenes.names)
    crm, found, shown = CRM(), 0, 0
    for start in range(0, len(scenes.images), BATCH):
        dense, _ = dense_embeddings(clip, to_input(scenes.images[start : start + BATCH]))
        kept = crm(torch.einsum("bdhw,nd->bnhw", dense, text), num_classes)
        for labels, ids in zip(scenes.labels[start : start + BATCH], kept.numpy(), strict=True):
            present = np.unique(labels)
            found, shown = found + int(np.isin(present, ids).sum()), shown + len(present)
    return 100 * found / shown
