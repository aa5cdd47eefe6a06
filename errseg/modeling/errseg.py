"""ERR-Seg (Fig. 3): normalise -> encode -> head -> loss or prediction.

Shapes: B images, T names of the vocabulary, K classes kept, D text dimension, R side of the square the encoder sees.
"""

from collections.abc import Sequence

import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone, build_sem_seg_head
from torch import Tensor, nn

from ..errors import UsageError
from .layers import resize
from .losses import dense_binary_cross_entropy
from .text import Prompter, Vocabulary, embed_vocabulary

DROPPED_LOGIT = -100.0  # of the classes that CRM dropped


@META_ARCH_REGISTRY.register()
class ERRSeg(nn.Module):
    """Open-vocabulary semantic segmentation of images into the names of a vocabulary, which ``set_vocabulary`` gives.

    Args:
        backbone: the CLIP encoder; holds the text tower too.
        sem_seg_head: cost maps to logits.
        prompter: names to prompts and tokens.
        pixel_mean, pixel_std: RGB, 0-255.
        resolution_train, resolution_test: R, in pixels.
        num_classes_train: K in training.
        num_classes_test: K at test where ``set_vocabulary`` gives none; 0 for all.
        ignore_label: the label of pixels without a class.
    """

    @configurable
    def __init__(
        self,
        backbone: nn.Module,
        sem_seg_head: nn.Module,
        prompter: Prompter,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        resolution_train: int = 640,
        resolution_test: int = 640,
        num_classes_train: int = 32,
        num_classes_test: int = 0,
        ignore_label: int = 255,
    ):
        super().__init__()
        for key, value in (("TRAIN", resolution_train), ("TEST", resolution_test)):
            if value < 64:
                raise UsageError(f"INPUT.RESOLUTION_{key} = {value} is too small for four strides; give 64 or more.")
        if num_classes_train < 1:
            raise UsageError(f"MODEL.CRM.NUM_CLASSES_TRAIN = {num_classes_train} keeps no class; give 1 or more.")
        self.backbone = backbone
        self.sem_seg_head = sem_seg_head
        self.prompter = prompter
        self.resolution_train = resolution_train
        self.resolution_test = resolution_test
        self.num_classes_train = num_classes_train
        self.num_classes_test = num_classes_test
        self.ignore_label = ignore_label
        self.vocabulary: Vocabulary | None = None
        self.register_buffer(
            "pixel_mean", torch.tensor(pixel_mean, dtype=torch.float32).view(3, 1, 1), persistent=False
        )
        self.register_buffer("pixel_std", torch.tensor(pixel_std, dtype=torch.float32).view(3, 1, 1), persistent=False)
        self.register_buffer("text_embeddings", None, persistent=False)
        self.register_load_state_dict_post_hook(lambda module, _: module._refresh_text_embeddings())

    @classmethod
    def from_config(cls, cfg) -> dict:
        backbone = build_backbone(cfg)
        return {
            "backbone": backbone,
            "sem_seg_head": build_sem_seg_head(cfg, backbone.output_shape()),
            "prompter": Prompter(cfg.MODEL.CLIP.NAME, cfg.MODEL.PROMPT.TEMPLATES, cfg.MODEL.PROMPT.SYNONYMS),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "resolution_train": cfg.INPUT.RESOLUTION_TRAIN,
            "resolution_test": cfg.INPUT.RESOLUTION_TEST,
            "num_classes_train": cfg.MODEL.CRM.NUM_CLASSES_TRAIN,
            "num_classes_test": cfg.MODEL.CRM.NUM_CLASSES_TEST,
            "ignore_label": cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
        }

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    # ---- vocabulary ----

    def set_vocabulary(self, names: Sequence[str], num_classes: int | None = None) -> None:
        """Choose the names to segment, and encode them unless training changes the text tower at every step.

        The embeddings are kept until the vocabulary, the weights loaded or the mode changes; whoever changes the text
        tower's parameters by hand calls this again.

        Args:
            names: T names; each may hold comma-separated synonyms.
            num_classes: K at test; None for ``MODEL.CRM.NUM_CLASSES_TEST``, 0 for all T.

        Raises:
            UsageError: no names, or a blank one.
        """
        self.vocabulary = self.prompter.vocabulary(names, self.num_classes_test if num_classes is None else num_classes)
        self._refresh_text_embeddings()

    def _refresh_text_embeddings(self) -> None:
        self.text_embeddings = None
        if self.vocabulary is not None and not (self.training and self.backbone.text_is_trained):
            with torch.inference_mode(False), torch.no_grad():  # kept, so of use in training later too
                self.text_embeddings = embed_vocabulary(self.vocabulary, self.backbone.encode_text, self.device)

    def train(self, mode: bool = True) -> "ERRSeg":
        """As ``nn.Module.train``; text embeddings that training makes stale are dropped, and made anew for tests."""
        super().train(mode)
        if (mode and self.backbone.text_is_trained) or (not mode and self.text_embeddings is None):
            self._refresh_text_embeddings()
        return self

    # ---- forward ----

    def forward(self, batched_inputs: list[dict]) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Losses in training, predictions otherwise.

        Args:
            batched_inputs: per image, "image" (3, H, W) RGB 0-255; in training "sem_seg" (H, W), integer class ids or
                the ignore label, of one size in a batch; at test "height" and "width" of the prediction (default: the
                image's).

        Returns:
            In training ``{"loss_sem_seg": scalar}``; otherwise per image ``{"sem_seg": (T, height, width)}`` scores.

        Raises:
            RuntimeError: no vocabulary is set.
            UsageError: a label id lies outside the vocabulary.
        """
        if self.vocabulary is None:
            raise RuntimeError("The model has no vocabulary; call model.set_vocabulary(names) first.")
        if self.training:
            return self.losses(batched_inputs)
        logits, kept = self.segment(
            batched_inputs, self.resolution_test, self.text_embeddings, self.vocabulary.num_classes
        )
        return [{"sem_seg": self.predict(*each)} for each in zip(logits, kept, batched_inputs, strict=True)]

    def losses(self, batched_inputs: list[dict]) -> dict[str, Tensor]:
        """The training loss; see ``forward``."""
        text = self.text_embeddings
        if text is None:
            text = embed_vocabulary(self.vocabulary, self.backbone.encode_text, self.device)
        labels = self.stack_labels(batched_inputs)
        present = self.present_classes(labels, batched_inputs)
        # The classes of the ground truth always stay, be they more than K
        num_classes = max(self.num_classes_train, int(present.sum(1).max()))
        labels = labels.to(self.device)
        logits, kept = self.segment(batched_inputs, self.resolution_train, text, num_classes, present.to(self.device))
        return {"loss_sem_seg": dense_binary_cross_entropy(logits, kept, labels, len(text), self.ignore_label)}

    def segment(
        self,
        batched_inputs: list[dict],
        resolution: int,
        text: Tensor,
        num_classes: int,
        present: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Images and text embeddings (T, D) -> logits (B, K, h, w) and the kept classes' ids (B, K)."""
        images = torch.cat([self.preprocess(x["image"], resolution) for x in batched_inputs])
        return self.sem_seg_head(self.backbone(images), text, num_classes, present)

    def preprocess(self, image: Tensor, resolution: int) -> Tensor:
        """Normalise and resize to a square, aspect ratio not kept: (3, H, W) RGB 0-255 -> (1, 3, R, R)."""
        image = (image.to(self.device, torch.float32) - self.pixel_mean) / self.pixel_std
        return resize(image.unsqueeze(0), (resolution, resolution))

    @staticmethod
    def stack_labels(batched_inputs: list[dict]) -> Tensor:
        """The labels of a batch: (B, H, W) int64, where they are (the loader leaves them on the CPU).

        Raises:
            UsageError: an image has none.
        """
        for inputs in batched_inputs:
            if "sem_seg" not in inputs:
                name = inputs.get("file_name", "an image")
                raise UsageError(f"{name} has no 'sem_seg' labels to train on; call model.eval() first to predict.")
        return torch.stack([inputs["sem_seg"] for inputs in batched_inputs]).long()

    def present_classes(self, labels: Tensor, batched_inputs: list[dict]) -> Tensor:
        """The classes of each image's ground truth: (B, H, W) labels -> (B, T) bool.

        Raises:
            UsageError: a label id lies outside the vocabulary.
        """
        num_names = len(self.vocabulary.names)
        ids = labels.masked_fill(labels == self.ignore_label, num_names).flatten(1)  # ignored pixels: one more class
        wrong = ((ids < 0) | (ids > num_names)) | ((ids == num_names) & (labels.flatten(1) != self.ignore_label))
        if wrong.any():
            image, pixel = wrong.nonzero()[0].tolist()
            raise UsageError(
                f"{batched_inputs[image].get('file_name', 'an image')}: the label id {labels[image].flatten()[pixel]} "
                f"is outside the vocabulary of {num_names} names; prepare the labels for it, or set "
                f"MODEL.SEM_SEG_HEAD.IGNORE_VALUE (now {self.ignore_label})."
            )
        present = torch.zeros(len(labels), num_names + 1, dtype=torch.bool, device=labels.device)
        return present.scatter_(1, ids, True)[:, :num_names]

    def predict(self, logits: Tensor, kept: Tensor, inputs: dict) -> Tensor:
        """Scores of every name at the size asked for: (K, h, w) logits, (K,) ids -> (T, height, width)."""
        size = tuple(
            inputs.get(key, side) for key, side in zip(("height", "width"), inputs["image"].shape[-2:], strict=True)
        )
        scores = resize(logits.float().sigmoid().unsqueeze(0), size).squeeze(0)
        dropped = torch.full_like(scores[0], DROPPED_LOGIT).sigmoid()
        dense = dropped.expand(len(self.vocabulary.names), *size).clone()
        dense[kept] = scores
        return dense
