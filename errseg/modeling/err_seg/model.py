"""ERR-Seg (Fig. 3): encode the image and the names; the head turns their cost maps into logits.

Shapes: B images, T names of the vocabulary, K names kept, R side of the square that the encoder sees.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone, build_sem_seg_head
from torch import Tensor, nn

from ...errors import ArgumentError, arguments_from
from ..clip.prompts import Prompter
from ..layers import match_gradient_strides
from ..losses import dense_binary_cross_entropy
from ..num_kept import AutoKept, NumKept
from ..prediction import Prediction
from ..segmenter import OpenVocabularySegmenter
from ..taps import watch
from ..views import Views
from .kept import auto_kept, number_or_auto

DROPPED_LOGIT = -100.0  # of the names that CRM dropped
DROPPED_SCORE = torch.tensor(DROPPED_LOGIT).sigmoid().item()


@META_ARCH_REGISTRY.register()
class ERRSeg(OpenVocabularySegmenter):
    """ERR-Seg.

    Args:
        backbone: the CLIP encoder, with image and text tower.
        sem_seg_head: turns cost maps into logits.
        prompter: turns names into prompts and tokens.
        pixel_mean, pixel_std: RGB, 0-255.
        views: what the encoder sees of a test image.
        resolution_train: R in training, in pixels.
        num_kept_train: K in training.
        num_kept_test: K at test where ``set_vocabulary`` gives none; 0 for all.
        auto_kept: what ``set_vocabulary`` takes "auto" for; None: the model keeps every name.
        ignore_label: the label of pixels without a class.
        precision: "float32", "bfloat16" or "float16", of the image tower and the head; the last two are only for tests.

    Raises:
        ArgumentError: the resolution is too small, K in training is less than 1, or there is no such precision.
    """

    @configurable
    def __init__(
        self,
        backbone: nn.Module,
        sem_seg_head: nn.Module,
        prompter: Prompter,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        views: Views,
        resolution_train: int = 640,
        num_kept_train: NumKept = 32,
        num_kept_test: NumKept = 0,
        auto_kept: AutoKept | None = None,
        ignore_label: int = 255,
        precision: str = "float32",
    ):
        super().__init__(pixel_mean, pixel_std, views, ignore_label)
        if resolution_train < 64:
            raise ArgumentError(
                "{resolution_train} = %s is too small for four strides; give 64 or more.", resolution_train
            )
        if not isinstance(num_kept_train, AutoKept) and num_kept_train < 1:
            raise ArgumentError("{num_kept_train} = %s keeps no class; give 1 or more.", num_kept_train)
        self.backbone = backbone
        self.sem_seg_head: Any = sem_seg_head
        match_gradient_strides(self)
        self.prompter = prompter
        self.resolution_train = resolution_train
        self.num_kept_train = num_kept_train
        self.num_kept_test = num_kept_test
        self.auto_kept = auto_kept
        self.set_precision(precision)

    @classmethod
    def from_config(cls, cfg) -> dict:
        backbone = build_backbone(cfg)
        with arguments_from("MODEL.PROMPT", clip_name="MODEL.CLIP.NAME"):
            prompter = Prompter(cfg.MODEL.CLIP.NAME, cfg.MODEL.PROMPT.TEMPLATES, cfg.MODEL.PROMPT.SYNONYMS)
        return {
            "backbone": backbone,
            "sem_seg_head": build_sem_seg_head(cfg, backbone.output_shape()),
            "prompter": prompter,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "views": Views.from_config(cfg),
            "resolution_train": cfg.INPUT.RESOLUTION_TRAIN,
            "num_kept_train": number_or_auto(cfg, "NUM_CLASSES_TRAIN"),
            "num_kept_test": number_or_auto(cfg, "NUM_CLASSES_TEST"),
            "auto_kept": auto_kept(cfg) if cfg.MODEL.CRM.ENABLED else None,
            "ignore_label": cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
            "precision": cfg.MODEL.PRECISION,
        }

    def modules_of_precision(self) -> list[nn.Module]:
        """The image tower and the head; text tower, normalisation, cosines and CRM stay in float32."""
        return [*self.backbone.image_modules(), self.sem_seg_head]

    def segment(self, images: Tensor, text: Tensor, num_kept: NumKept, show: bool = False) -> Prediction:
        """See ``OpenVocabularySegmenter.segment``; ``shown`` has CRM's "ranking", (B, T) points per location."""
        if not show:
            return self._prediction(*self.logits(images, text, num_kept), num_kept)
        with watch(self, ["ranking"]) as seen:
            prediction = self.segment(images, text, num_kept)
        return replace(prediction, shown={"ranking": seen["ranking"][0]})

    def encode_views(self, images: Tensor) -> Callable[[Tensor, NumKept], Prediction]:
        """See ``OpenVocabularySegmenter.encode_views``."""
        features = self.backbone(images)
        return lambda text, num_kept: self._prediction(*self._decode(features, text, num_kept), num_kept)

    def _prediction(self, logits: Tensor, kept: Tensor, num_kept: NumKept) -> Prediction:
        return Prediction(logits.float().sigmoid(), kept, DROPPED_SCORE, padded=isinstance(num_kept, AutoKept))

    def logits(
        self, images: Tensor, text: Tensor, num_kept: NumKept, present: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The model of the paper, from normalised images to logits.

        Args:
            images: (B, 3, h, w) normalised.
            text: (T, D) text embeddings of unit length.
            num_kept: K.
            present: (B, T) bool, the names that CRM must keep.

        Returns:
            Logits (B, K, h', w') and the ids (B, K) of the names kept. Slots without a name have the id -1 and the
            logit of a dropped name.
        """
        return self._decode(self.backbone(images), text, num_kept, present)

    def _decode(
        self, features: dict[str, Tensor], text: Tensor, num_kept: NumKept, present: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """``logits``, from the encoder's features."""
        logits, kept = self.sem_seg_head(features, text, num_kept, present)
        if isinstance(num_kept, AutoKept):
            logits = logits.masked_fill(kept[..., None, None] < 0, DROPPED_LOGIT)
        return logits, kept

    def losses(self, batched_inputs: list[dict]) -> dict[str, Tensor]:
        """The training loss; see ``forward``."""
        encoded, text = self.text_for_training()
        labels = self.stack_labels(batched_inputs)
        present = self.present_names(labels, batched_inputs, len(encoded.names))
        num_kept = self.num_kept_train
        if not isinstance(num_kept, AutoKept):  # CRM always keeps the classes of the ground truth, even if more than K
            num_kept = max(num_kept, int(present.sum(1).max()))
        labels = labels.to(self.device)
        square = (self.resolution_train, self.resolution_train)
        images = torch.cat([self.preprocess(inputs["image"], square) for inputs in batched_inputs])
        logits, kept = self.logits(images, text, num_kept, present.to(self.device))
        return {"loss_sem_seg": self.loss(logits, kept, labels, len(text))}

    def loss(self, logits: Tensor, kept: Tensor, labels: Tensor, num_names: int) -> Tensor:
        """Binary cross-entropy: logits (B, K, h, w) of the names kept (B, K), labels (B, H, W) and T -> scalar."""
        return dense_binary_cross_entropy(logits, kept, labels, num_names, self.ignore_label)

    def dense_embedding(self, image: Tensor) -> Tensor:
        """The first dense embedding: (3, H, W) RGB 0-255 -> (D, h, w) of unit length, stride 16 (32 without HSM)."""
        side = self.views.resolution
        dense = self.backbone(self.preprocess(image, (side, side)))[self.sem_seg_head.embeddings[0]]
        return F.normalize(dense.float(), dim=1).squeeze(0)
