"""The mask proposals of a mask-based system for a picture, and the names of each mask.

Shapes: N masks, T names, H x W the picture's size, h x w that of the stored masks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from errseg.data.vocabularies import Vocabulary
from errseg.errors import UsageError
from errseg.modeling.layers import resize
from errseg.modeling.prediction import ViewPrediction

__all__ = ["NameShare", "Proposal", "Proposals", "proposals_of"]

LARGEST_SIDE = 640  # of the stored masks, in pixels; a proposal network computes masks at a quarter of about this size


class NameShare(NamedTuple):
    """A name of a mask."""

    name: str
    probability: float


class Proposal(NamedTuple):
    """A mask at a pixel."""

    id: int  # index of the mask
    probability: float  # that the pixel is in the mask
    names: list[NameShare]  # the best names of the mask, most probable first
    no_name: float  # probability that the mask shows none of the names


@dataclass(frozen=True, eq=False)
class Proposals:
    """The mask proposals of a picture, all of them, in the system's order.

    The score of a name at a pixel is the sum over all masks of the mask's probability there times the probability of
    the name for the mask. The name with the highest sum wins the pixel; synonyms compete as names of their own.

    Attributes:
        masks: (N, h, w) float16, the probability of each pixel. h x w is H x W, or smaller, so that the longer side has
            at most 640 pixels. With several views (``TEST.*``), the masks of all views, 0 outside of their view.
        probabilities: (N, T) float32, of each name for each mask; synonyms are added up. A row adds up to 1 with the
            probability that the mask shows none of the names.
        names: the T names.
        size: (H, W).
    """

    masks: np.ndarray = field(repr=False)
    probabilities: np.ndarray = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.masks)

    def mask(self, index: int) -> np.ndarray:
        """The probability of each pixel for a mask, in the picture's size: (H, W) float32.

        Raises:
            UsageError: there is no such mask.
        """
        mask = self.masks[self._checked(index)].astype(np.float32)
        return cv2.resize(mask, self.size[::-1], interpolation=cv2.INTER_LINEAR)

    def best_names(self, index: int, count: int = 5) -> list[NameShare]:
        """The ``count`` most probable names of a mask, most probable first.

        Raises:
            UsageError: there is no such mask.
        """
        row = self.probabilities[self._checked(index)]
        return [NameShare(self.names[i], float(row[i])) for i in np.argsort(-row, kind="stable")[:count]]

    def no_name(self, index: int) -> float:
        """The probability that a mask shows none of the names.

        Raises:
            UsageError: there is no such mask.
        """
        return float(np.clip(1 - self.probabilities[self._checked(index)].sum(), 0, 1))

    def at(self, x: int, y: int, count: int = 5, names: int = 5) -> list[Proposal]:
        """The masks that most probably hold a pixel, most probable first.

        Args:
            x: column of the pixel in the picture.
            y: row of the pixel in the picture.
            count: number of masks.
            names: number of names of each mask.

        Raises:
            UsageError: the picture has no such pixel.
        """
        height, width = self.size
        if not (0 <= x < width and 0 <= y < height):
            raise UsageError(f"The picture has {width} x {height} pixels, and none at x = {x}, y = {y}; give another.")
        row, column = int((y + 0.5) * self.masks.shape[1] / height), int((x + 0.5) * self.masks.shape[2] / width)
        values = self.masks[:, row, column].astype(np.float32)
        order = np.argsort(-values, kind="stable")[:count].tolist()
        return [Proposal(i, float(values[i]), self.best_names(i, names), self.no_name(i)) for i in order]

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise UsageError(f"There is no mask {index}; there are {len(self)}, counted from 0.")
        return index


def proposals_of(vocabulary: Vocabulary, views: Sequence[ViewPrediction], size: tuple[int, int]) -> Proposals:
    """The proposals of a picture.

    Args:
        vocabulary: the names that the views were predicted with, and their prompts.
        views: the predictions for the views of the picture, which show "masks" and "classes".
        size: (H, W).
    """
    scale = min(LARGEST_SIDE / max(size), 1)
    small = max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)
    masks = [_in_picture(view, size, small) for view in views]
    owners = torch.tensor(vocabulary.prompt_classes)
    shares = [_shares(view.shown["classes"].float().cpu(), owners, len(vocabulary.classes)) for view in views]
    return Proposals(torch.cat(masks).numpy(), torch.cat(shares).numpy(), vocabulary.classes, size)


def _in_picture(view: ViewPrediction, size: tuple[int, int], small: tuple[int, int]) -> Tensor:
    """The masks of a view, at its place in a picture of ``size`` that is reduced to ``small``: (N, *small) float16."""
    masks = view.shown["masks"].float()
    spans = [
        [round(edge * to / length) for edge in edges]
        for edges, length, to in zip((view.rows, view.cols), view.canvas or size, small, strict=True)
    ]
    (top, bottom), (left, right) = spans
    whole = torch.zeros(len(masks), *small, dtype=torch.float16)
    if top < bottom and left < right:  # a window may be narrower than a pixel of the reduced picture
        whole[:, top:bottom, left:right] = resize(masks.unsqueeze(0), (bottom - top, right - left)).squeeze(0).cpu()
    return whole


def _shares(classes: Tensor, owners: Tensor, num_names: int) -> Tensor:
    """The probability of each name, the sum over its prompts: (N, prompts or more) -> (N, T). What follows the prompts,
    the probability of no name, is left out."""
    return classes.new_zeros(len(classes), num_names).index_add_(1, owners, classes[:, : len(owners)])
