"""What the stages share: names by a prompt. Those that segment: padding, and scores from masks and classes (section 6).

Shapes: B images, T names, N proposals, D the dimension that image and text share, H x W an image's size, H' x W' the
same rounded up to multiples of 32.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import UsageError
from ..clip.embedding import embed_names
from ..clip.prompts import TokenizedNames
from ..layers import resize
from ..num_kept import NumKept
from ..prediction import Prediction, image_size
from ..segmenter import OpenVocabularySegmenter

__all__ = ["MULTIPLE", "PromptedSegmenter", "RegionSegmenter", "padded"]

MULTIPLE = 32  # images are padded to a multiple of the coarsest stride


def padded(images: Tensor, value: float = 0) -> Tensor:
    """Pad at the right and the bottom: (..., H, W) -> (..., H', W')."""
    height, width = images.shape[-2:]
    return F.pad(images, (0, -width % MULTIPLE, 0, -height % MULTIPLE), value=value)


class PromptedSegmenter(OpenVocabularySegmenter):
    """Names become text embeddings by a prompt."""

    backbone: Any  # CLIP's towers, or its text tower alone
    prompt: nn.Module  # from tokens to text embeddings

    def encode_names(self, tokenized: TokenizedNames) -> Tensor:
        """Text embeddings: (T, D) of unit length."""
        backbone, cache = self.backbone, self.text_cache(self.prompt)
        return embed_names(tokenized, lambda tokens: self.prompt(backbone.clip, tokens, backbone.run), cache)

    @property
    def text_is_trained(self) -> bool:
        """Whether training changes the text embeddings."""
        return self.backbone.text_is_trained or any(p.requires_grad for p in self.prompt.parameters())


class RegionSegmenter(PromptedSegmenter):
    """Segments an image by the masks of a proposal network and a class for each mask. A subclass has ``regions``."""

    # ---- the model ----

    def regions(self, images: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Proposals and their classes.

        Args:
            images: (B, 3, H, W) normalised; they are padded with 0 at the right and the bottom.
            text: (T, D) text embeddings of unit length.

        Returns:
            Mask logits (B, N, H' / 4, W' / 4) and class logits (B, N, T + 1), no-object last.
        """
        raise NotImplementedError

    def segment(self, images: Tensor, text: Tensor, num_kept: NumKept, show: bool = False) -> Prediction:
        """See ``OpenVocabularySegmenter.segment``. Images may have any size; every name is kept.

        ``shown`` has the "masks" (B, N, H, W) and the probabilities of the "classes" (B, N, T + 1), no-object last.
        """
        height, width = images.shape[-2:]
        masks, logits = self.regions(images, text)
        probabilities = logits.softmax(-1)
        maps = resize(masks, (height + -height % MULTIPLE, width + -width % MULTIPLE))
        maps = maps[..., :height, :width].sigmoid()
        kept = torch.arange(text.shape[0], device=images.device).expand(images.shape[0], -1)
        shown = {"masks": maps, "classes": probabilities} if show else {}
        every_map = maps.new_ones(1, 1, maps.shape[1]).expand(images.shape[0], -1, -1)
        return Prediction(maps, kept, total=every_map, shown=shown, mix=probabilities[..., :-1].mT)

    # ---- training ----

    def training_batch(self, batched_inputs: list[dict]) -> tuple[Tensor, Tensor, Tensor]:
        """A batch of training images of one size.

        Returns:
            Images (B, 3, H, W) normalised, labels (B, H', W') padded with the ignored label, and text embeddings
            (T, D).

        Raises:
            UsageError: an image has no labels or another size than they; or a label id lies outside the vocabulary.
        """
        encoded, text = self.text_for_training()
        labels = self.stack_labels(batched_inputs)
        for inputs in batched_inputs:
            if image_size(inputs) != tuple(labels.shape[1:]):
                name = inputs.get("file_name", "an image")
                raise UsageError(
                    f"{name} has {image_size(inputs)} pixels, and its labels {tuple(labels.shape[1:])}; this system "
                    "resizes neither: give both in one size."
                )
        self.present_names(labels, batched_inputs, len(encoded.names))  # checks the labels
        height, width = labels.shape[-2:]
        images = torch.cat([self.preprocess(inputs["image"], (height, width)) for inputs in batched_inputs])
        return images, padded(labels.to(self.device), self.ignore_label), text
