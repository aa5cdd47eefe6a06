"""Scores of a pretrained mini CLIP: zero-shot accuracy on crops and on true regions, and recall of CRM's selection."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from errseg.modeling.err_seg.crm import CRM

from .crops import CropSampler, Scenes, to_input
from .embeddings import dense_embeddings, image_embeddings
from .pretrain import text_embeddings

__all__ = ["crop_accuracy", "region_accuracy", "selection_recall"]

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
        image = image_embeddings(clip, to_input([sampler.centred(instance) for instance in batch]))
        right += int(((image @ text.T).argmax(dim=1) == torch.tensor([instance.label for instance in batch])).sum())
    return 100 * right / len(objects)


@torch.no_grad()
def region_accuracy(clip: nn.Module, tokenizer: Callable, scenes: Scenes) -> float:
    """The share, in percent, of the scenes' regions whose name ranks first by the mean dense embedding in the region.

    A region is all pixels of one name. The embedding is the finest one, weighted by the region's share of each of its
    locations.
    """
    clip.eval()
    text = text_embeddings(clip, tokenizer, scenes.names)
    right, number = 0, 0
    for start in range(0, len(scenes.images), BATCH):
        dense = dense_embeddings(clip, to_input(scenes.images[start : start + BATCH]))[0]
        for embedding, labels in zip(
            dense, torch.from_numpy(scenes.labels[start : start + BATCH].astype("int64")), strict=True
        ):
            ids = labels.unique()
            regions = (labels == ids.view(-1, 1, 1)).float().unsqueeze(1)  # (G, 1, H, W)
            shares = F.interpolate(regions, embedding.shape[-2:], mode="area").flatten(1)
            answers = (shares @ embedding.flatten(1).T @ text.T).argmax(1)
            right, number = right + int((answers == ids).sum()), number + len(ids)
    return 100 * right / number


@torch.no_grad()
def selection_recall(clip: nn.Module, tokenizer: Callable, scenes: Scenes, num_classes: int) -> float:
    """The share, in percent, of the names in the scenes that CRM keeps if it keeps ``num_classes`` names."""
    clip.eval()
    text = text_embeddings(clip, tokenizer, scenes.names)
    crm, found, shown = CRM(), 0, 0
    for start in range(0, len(scenes.images), BATCH):
        dense = dense_embeddings(clip, to_input(scenes.images[start : start + BATCH]))[0]
        kept = crm(torch.einsum("bdhw,nd->bnhw", dense, text), num_classes)
        for labels, ids in zip(scenes.labels[start : start + BATCH], kept.numpy(), strict=True):
            present = np.unique(labels)
            found, shown = found + int(np.isin(present, ids).sum()), shown + len(present)
    return 100 * found / shown
