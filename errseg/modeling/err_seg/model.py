"""ERR-Seg (Fig. 3): normalise -> encode -> head -> loss or prediction.

Shapes: B images, T names of the vocabulary, K classes kept, D text dimension, R side of the square the encoder sees.
"""

from collections.abc import Callable, Sequence
from itertools import groupby

import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone, build_sem_seg_head
from torch import Tensor, nn

from ...errors import UsageError
from ..clip.prompts import Prompter, embed_vocabulary
from ..layers import match_gradient_strides, resize
from ..losses import dense_binary_cross_entropy
from ..prediction import Part, dense_scores, image_size, label_map, picture_size, place
from ..views import View, Views
from ..vocabulary import EncodedVocabulary, OpenVocabularyModel


@META_ARCH_REGISTRY.register()
class ERRSeg(OpenVocabularyModel):
    """Open-vocabulary semantic segmentation of images into the names of a vocabulary, which ``set_vocabulary`` gives.

    Args:
        backbone: the CLIP encoder; holds the text tower too.
        sem_seg_head: cost maps to logits.
        prompter: names to prompts and tokens.
        pixel_mean, pixel_std: RGB, 0-255.
        views: what the encoder sees of a test image.
        resolution_train: R in training, in pixels.
        num_classes_train: K in training.
        num_classes_test: K at test where ``set_vocabulary`` gives none; 0 for all.
        ignore_label: the label of pixels without a class.
        precision: "float32", "bfloat16" or "float16", of the image tower and the head; lower ones are for tests only.
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
        num_classes_train: int = 32,
        num_classes_test: int = 0,
        ignore_label: int = 255,
        precision: str = "float32",
    ):
        super().__init__()
        if resolution_train < 64:
            raise UsageError(
                f"INPUT.RESOLUTION_TRAIN = {resolution_train} is too small for four strides; give 64 or more."
            )
        if num_classes_train < 1:
            raise UsageError(f"MODEL.CRM.NUM_CLASSES_TRAIN = {num_classes_train} keeps no class; give 1 or more.")
        self.backbone = backbone
        self.sem_seg_head = sem_seg_head
        match_gradient_strides(self)
        self.prompter = prompter
        self.views = views
        self.resolution_train = resolution_train
        self.num_classes_train = num_classes_train
        self.num_classes_test = num_classes_test
        self.ignore_label = ignore_label
        self.register_buffer(
            "pixel_mean", torch.tensor(pixel_mean, dtype=torch.float32).view(3, 1, 1), persistent=False
        )
        self.register_buffer("pixel_std", torch.tensor(pixel_std, dtype=torch.float32).view(3, 1, 1), persistent=False)
        self.set_precision(precision)

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
            "views": Views(
                cfg.INPUT.RESOLUTION_TEST,
                cfg.TEST.SCALES,
                cfg.TEST.FLIP,
                cfg.TEST.KEEP_ASPECT,
                cfg.TEST.SLIDING_WINDOW,
                cfg.TEST.WINDOW_OVERLAP,
            ),
            "num_classes_train": cfg.MODEL.CRM.NUM_CLASSES_TRAIN,
            "num_classes_test": cfg.MODEL.CRM.NUM_CLASSES_TEST,
            "ignore_label": cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
            "precision": cfg.MODEL.PRECISION,
        }

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def set_precision(self, precision: str) -> None:
        """Convert the image tower and the head; text tower, normalisation, cosines and CRM stay in float32.

        Args:
            precision: "float32", "bfloat16" or "float16". What a lower one has rounded off stays lost.

        Raises:
            UsageError: it is something else.
        """
        if precision not in ("float32", "bfloat16", "float16"):
            raise UsageError(f"MODEL.PRECISION = {precision!r}; give 'float32', 'bfloat16' or 'float16'.")
        self.precision = precision
        for part in (*self.backbone.image_parts(), self.sem_seg_head):
            part.to(getattr(torch, precision))

    def train(self, mode: bool = True) -> "ERRSeg":
        """As ``OpenVocabularyModel.train``.

        Raises:
            UsageError: the precision is for tests.
        """
        if mode and self.precision != "float32":
            raise UsageError(f"MODEL.PRECISION = {self.precision!r} is for tests; train in 'float32', with SOLVER.AMP.")
        return super().train(mode)

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
        if self.training:
            return self.losses(batched_inputs)
        encoded = self.encoded()
        return [
            {"sem_seg": dense_scores(parts, picture_size(inputs), len(encoded.vocabulary.names))}
            for parts, inputs in zip(self.parts(batched_inputs, encoded), batched_inputs, strict=True)
        ]

    def label_maps(self, batched_inputs: list[dict]) -> list[Tensor]:
        """The best name of every pixel, without the (T, H, W) scores that ``forward`` gives.

        Args:
            batched_inputs: as ``forward``'s at test.

        Returns:
            Per image (height, width) int64, indices of the vocabulary's names, on the model's device.

        Raises:
            RuntimeError: no vocabulary is set.
        """
        parts = self.parts(batched_inputs)
        return [label_map(each, picture_size(inputs)) for each, inputs in zip(parts, batched_inputs, strict=True)]

    def parts(
        self,
        batched_inputs: list[dict],
        encoded: EncodedVocabulary | None = None,
        see_costs: Callable[[Tensor], None] | None = None,
    ) -> list[list[Part]]:
        """What the views of each image (one, the paper's square, unless TEST.* say otherwise) predict of it.

        Args:
            batched_inputs: as ``forward``'s at test.
            encoded: the vocabulary; None for the model's.
            see_costs: is called with the cost maps that CRM ranks, (B, T, H, W) of each batch of views.

        Raises:
            RuntimeError: no vocabulary is set.
        """
        encoded = encoded or self.encoded()
        text, num_classes = encoded.text, encoded.vocabulary.num_classes
        parts = [[] for _ in batched_inputs]
        views = [(i, view) for i, inputs in enumerate(batched_inputs) for view in self.views.of(*image_size(inputs))]
        for _, same_size in groupby(views, key=lambda pair: pair[1].size):
            group = list(same_size)
            for start in range(0, len(group), len(batched_inputs)):
                chunk = group[start : start + len(batched_inputs)]
                images = torch.cat([self.see(batched_inputs[i]["image"], view) for i, view in chunk])
                logits, kept = self.segment(images, text, num_classes, see_costs=see_costs)
                for (i, view), part in zip(chunk, zip(logits, kept, strict=True), strict=True):
                    parts[i].append(place(*part, view, batched_inputs[i]))
        return parts

    def see(self, image: Tensor, view: View) -> Tensor:
        """What the encoder sees of a view: (3, H, W) RGB 0-255 -> (1, 3, *view.size) normalised."""
        x = self.preprocess(image[:, slice(*view.rows), slice(*view.cols)], view.size)
        return x.flip(-1) if view.flipped else x

    def losses(self, batched_inputs: list[dict]) -> dict[str, Tensor]:
        """The training loss; see ``forward``."""
        encoded = self._held()
        text = encoded.text
        if text is None:
            text = embed_vocabulary(encoded.vocabulary, self.backbone.encode_text)
        labels = self.stack_labels(batched_inputs)
        present = self.present_classes(labels, batched_inputs, len(encoded.vocabulary.names))
        # The classes of the ground truth always stay, be they more than K
        num_classes = max(self.num_classes_train, int(present.sum(1).max()))
        labels = labels.to(self.device)
        square = (self.resolution_train, self.resolution_train)
        images = torch.cat([self.preprocess(inputs["image"], square) for inputs in batched_inputs])
        logits, kept = self.segment(images, text, num_classes, present.to(self.device))
        return {"loss_sem_seg": dense_binary_cross_entropy(logits, kept, labels, len(text), self.ignore_label)}

    def segment(
        self,
        images: Tensor,
        text: Tensor | None = None,
        num_classes: int | None = None,
        present: Tensor | None = None,
        see_costs: Callable[[Tensor], None] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The model of the paper, from normalised images to logits.

        Args:
            images: (B, 3, h, w) normalised.
            text: (T, D) text embeddings of unit length; None for the vocabulary's.
            num_classes: K; None for the vocabulary's.
            present: (B, T) bool, the classes that CRM has to keep.
            see_costs: as ``parts``'s.

        Returns:
            Logits (B, K, h', w') and the kept classes' ids (B, K).
        """
        if text is None or num_classes is None:
            encoded = self.encoded()
            text = encoded.text if text is None else text
            num_classes = encoded.vocabulary.num_classes if num_classes is None else num_classes
        return self.sem_seg_head(self.backbone(images), text, num_classes, present, see_costs)

    def preprocess(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """Normalise and resize, the aspect ratio not kept: (3, H, W) RGB 0-255 -> (1, 3, *size)."""
        image = image.to(self.device, non_blocking=True).float()  # bytes travel, not floats
        image = resize(((image - self.pixel_mean) / self.pixel_std).unsqueeze(0), size)
        return image.contiguous(memory_format=torch.channels_last)

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

    def present_classes(self, labels: Tensor, batched_inputs: list[dict], num_names: int | None = None) -> Tensor:
        """The classes of each image's ground truth: (B, H, W) labels -> (B, T) bool; T: the vocabulary's unless given.

        Raises:
            UsageError: a label id lies outside the vocabulary.
        """
        num_names = len(self.vocabulary.names) if num_names is None else num_names
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
        return present.scatter_(1, ids, 1)[:, :num_names]
