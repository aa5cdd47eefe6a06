"""CAT-Seg: cosines of locations and names, aggregated over locations and over classes.

Shapes: B images, T names, K classes kept, D the dimension that image and text share, H x W the size of a view, H' x W'
the same rounded up to multiples of 32.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from torch import Tensor, nn

from ...errors import arguments_from
from ..clip.prompts import Prompter
from ..layers import match_gradient_strides, resize
from ..losses import dense_binary_cross_entropy
from ..num_kept import NumKept
from ..prediction import Prediction, image_size
from ..segmenter import OpenVocabularySegmenter
from ..views import Views
from .head import CATSegHead, head_from_config

__all__ = ["CATSeg", "DROPPED_LOGIT"]

MULTIPLE = 32  # images are padded to a multiple of it
DROPPED_LOGIT = -100.0  # of the names that are not kept
DROPPED_SCORE = torch.tensor(DROPPED_LOGIT).sigmoid().item()


@META_ARCH_REGISTRY.register()
class CATSeg(OpenVocabularySegmenter):
    """CAT-Seg.

    Args:
        backbone: CLIP's towers; the image tower gives a dense embedding and features that guide the decoder.
        sem_seg_head: turns dense embedding and names into logits.
        prompter: turns names into prompts and tokens.
        pixel_mean, pixel_std: RGB, 0-255.
        views: what the model sees of a test image.
        ignore_label: the label of pixels without a class.
        precision: "float32", "bfloat16" or "float16", of the image tower and the head; the last two are only for tests.
    """

    views_at_once = 5  # those of its own protocol

    @configurable
    def __init__(
        self,
        backbone: nn.Module,
        sem_seg_head: CATSegHead,
        prompter: Prompter,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        views: Views,
        ignore_label: int = 255,
        precision: str = "float32",
    ):
        super().__init__(pixel_mean, pixel_std, views, ignore_label)
        self.backbone = backbone
        self.sem_seg_head: Any = sem_seg_head
        match_gradient_strides(self)
        self.prompter = prompter
        self.set_precision(precision)

    @classmethod
    def from_config(cls, cfg) -> dict:
        backbone = build_backbone(cfg)
        with arguments_from("MODEL.PROMPT", clip_name="MODEL.CLIP.NAME"):
            prompter = Prompter(cfg.MODEL.CLIP.NAME, cfg.MODEL.PROMPT.TEMPLATES, cfg.MODEL.PROMPT.SYNONYMS)
        shapes = backbone.output_shape()
        image_dims = [shape.channels for name, shape in shapes.items() if name != "dense"]
        return {
            "backbone": backbone,
            "sem_seg_head": head_from_config(cfg, shapes["dense"].channels, backbone.grid, image_dims),
            "prompter": prompter,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "views": Views.from_config(cfg, native=True),
            "ignore_label": cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
            "precision": cfg.MODEL.PRECISION,
        }

    def modules_of_precision(self) -> list[nn.Module]:
        """The image tower and the head; text tower and cosines stay in float32."""
        return [*self.backbone.image_modules(), self.sem_seg_head]

    def segment(self, images: Tensor, text: Tensor, num_kept: NumKept, show: bool = False) -> Prediction:
        """See ``OpenVocabularySegmenter.segment``. Images may have any size.

        Where views are windows, logits are resized to the view before the sigmoid (section 7).
        """
        logits, kept = self.logits(images, text, num_kept)
        size = (images.shape[2], images.shape[3])
        logits = resize(logits.float(), size) if self.views.sliding_window else without_padding(logits.float(), size)
        return Prediction(logits.sigmoid(), kept, DROPPED_SCORE)

    def logits(self, images: Tensor, text: Tensor, num_kept: NumKept) -> tuple[Tensor, Tensor]:
        """The model of the paper, from normalised images to logits.

        Args:
            images: (B, 3, H, W) normalised; padded here with 0 at the right and the bottom to multiples of 32.
            text: (T, D) text embeddings of unit length.
            num_kept: how many names may stay; 0 for all.

        Returns:
            Logits (B, K, h, w) of the padded images, and the ids (B, K) of the names kept.
        """
        height, width = images.shape[2:]
        images = F.pad(images, (0, -width % MULTIPLE, 0, -height % MULTIPLE))
        return self.sem_seg_head(self.backbone(images), text, num_kept)

    def losses(self, batched_inputs: list[dict]) -> dict[str, Tensor]:
        """The training loss; see ``forward``."""
        encoded, text = self.text_for_training()
        labels = self.stack_labels(batched_inputs)
        self.present_names(labels, batched_inputs, len(encoded.names))  # checks the labels
        size = (labels.shape[1], labels.shape[2])
        images = torch.cat([self.preprocess(inputs["image"], size) for inputs in batched_inputs])
        logits, kept = self.logits(images, text, len(text))
        loss = self.loss(logits, kept, labels.to(self.device), len(text))
        no_effect: Any = sum(parameter.sum() for parameter in self.backbone.without_effect())
        return {"loss_sem_seg": loss + 0 * no_effect}

    def loss(self, logits: Tensor, kept: Tensor, labels: Tensor, num_names: int) -> Tensor:
        """Binary cross-entropy: logits (B, K, h, w) of padded images, ids (B, K), labels (B, H, W) and T -> scalar."""
        size = (labels.shape[1], labels.shape[2])
        logits = without_padding(logits.float(), size)
        return dense_binary_cross_entropy(logits, kept, labels, num_names, self.ignore_label, DROPPED_LOGIT)

    def dense_embedding(self, image: Tensor) -> Tensor:
        """E: (3, H, W) RGB 0-255 -> (D, g, g) of unit length, for the whole image as a square."""
        images = self.preprocess(image, image_size({"image": image}))
        return F.normalize(self.backbone(images)["dense"].float(), dim=1).squeeze(0)


def without_padding(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """The part of maps that shows an image, without what it was padded with.

    Args:
        maps: (B, K, h, w) of the image, padded to multiples of 32.
        size: H and W of the image.

    Returns:
        The maps themselves where nothing was padded, and else the part, resized to the image: (B, K, H, W).
    """
    height, width = size
    padded = (height + -height % MULTIPLE, width + -width % MULTIPLE)
    return maps if padded == (height, width) else resize(maps, padded)[..., :height, :width]
