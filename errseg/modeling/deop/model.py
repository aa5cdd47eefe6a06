"""DeOP: class-agnostic masks, one pass through CLIP, and an embedding for each mask (Figure 2 of its paper).

Shapes: B images, T names, N proposals and anchors, D the dimension that image and text share, H x W an image's size.
"""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from torch import Tensor, nn

from ...errors import arguments_from
from ..clip.prompts import Prompter
from ..prediction import image_size
from ..views import Views
from .anchors import AnchorDecoder
from .losses import score_losses
from .prompt import RegionClassifier, build_prompt
from .proposals import ProposalNetwork
from .regions import RegionSegmenter, padded
from .start import load_part

__all__ = ["DeOP"]


@META_ARCH_REGISTRY.register()
class DeOP(RegionSegmenter):
    """DeOP.

    Args:
        backbone: CLIP's towers; the image tower turns images and masks into a dense embedding.
        proposals: the network that proposes masks; it is frozen and stays in evaluation mode.
        anchors: the decoder that turns the dense embedding and the masks into an embedding for each mask.
        prompt: turns tokens into text embeddings.
        classifier: compares embeddings of masks with text embeddings.
        prompter: turns names into tokens.
        pixel_mean, pixel_std: RGB, 0-255; for the proposal network and for CLIP.
        views: what the model sees of a test image.
        loss_weights: weights of the focal and the dice loss.
        slope: slope of the sigmoid that turns a class's score into a probability in training.
        ignore_label: the label of pixels without a class.
        precision: "float32", "bfloat16" or "float16"; the last two are only for tests.
    """

    @configurable
    def __init__(
        self,
        backbone: nn.Module,
        proposals: nn.Module,
        anchors: AnchorDecoder,
        prompt: nn.Module,
        classifier: RegionClassifier,
        prompter: Prompter,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        views: Views,
        loss_weights: tuple[float, float] = (2.0, 0.8),
        slope: float = 3.0,
        ignore_label: int = 255,
        precision: str = "float32",
    ):
        super().__init__(pixel_mean, pixel_std, views, ignore_label)
        self.backbone = backbone
        self.proposals = proposals.requires_grad_(False)
        self.anchors = anchors
        self.prompt = prompt
        self.classifier = classifier
        self.prompter = prompter
        self.loss_weights = loss_weights
        self.slope = slope
        self.set_precision(precision)

    @classmethod
    def from_config(cls, cfg) -> dict:
        backbone = build_backbone(cfg)
        with arguments_from("MODEL.PROMPT", clip_name="MODEL.CLIP.NAME"):
            prompt, prompter = build_prompt(cfg, backbone.clip)
        with arguments_from("MODEL.ANCHORS", clip="MODEL.CLIP.NAME", num_anchors="MODEL.PROPOSALS.NUM_QUERIES"):
            anchors = AnchorDecoder(
                backbone.embed_dim,
                num_anchors=cfg.MODEL.PROPOSALS.NUM_QUERIES,
                num_layers=cfg.MODEL.ANCHORS.NUM_LAYERS,
                masked=cfg.MODEL.ANCHORS.MASKED,
            )
        proposals, classifier = ProposalNetwork(cfg, backbone.embed_dim), RegionClassifier(backbone.embed_dim)
        load_part(cfg, "MODEL.PROMPT.WEIGHTS", prompt, "prompt.")
        for part, prefix in ((proposals, "proposals."), (classifier, "classifier.")):
            load_part(cfg, "MODEL.PROPOSALS.WEIGHTS", part, prefix)
        return {
            "backbone": backbone,
            "proposals": proposals,
            "anchors": anchors,
            "prompt": prompt,
            "classifier": classifier,
            "prompter": prompter,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "views": Views.from_config(cfg, native=True),
            "loss_weights": (cfg.MODEL.LOSS.FOCAL, cfg.MODEL.LOSS.DICE),
            "slope": cfg.MODEL.LOSS.SLOPE,
            "ignore_label": cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
            "precision": cfg.MODEL.PRECISION,
        }

    def regions(self, images: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """See ``RegionSegmenter.regions``."""
        images = padded(images)
        with torch.no_grad():
            masks = self.proposals(images).masks
        embeddings = self.anchors(self.backbone(images, masks), masks)
        return masks, self.classifier(embeddings, text.float())

    def losses(self, batched_inputs: list[dict]) -> dict[str, Tensor]:
        """The weighted training losses (section 7); see ``forward``."""
        images, labels, text = self.training_batch(batched_inputs)
        masks, logits = self.regions(images, text)
        focal, dice = self.loss(logits, masks, labels)
        no_effect: Any = sum(parameter.sum() for parameter in self.anchors.without_effect())
        weight_focal, weight_dice = self.loss_weights
        return {"loss_focal": weight_focal * focal, "loss_dice": weight_dice * dice + 0 * no_effect}

    def loss(self, logits: Tensor, masks: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Focal and dice loss: class logits (B, N, C + 1), mask logits (B, N, h, w), labels (B, H, W) -> scalars."""
        return score_losses(logits, masks, labels, self.slope, ignore_label=self.ignore_label)

    # ---- mode and precision ----

    def train(self, mode: bool = True) -> "DeOP":
        """See ``VocabularyHolder.train``. The frozen proposal network stays in evaluation mode."""
        super().train(mode)
        self.proposals.eval()
        return self

    def modules_of_precision(self) -> list[nn.Module]:
        """The image tower, the proposal network and the anchors; text tower and scores stay in float32."""
        return [*self.backbone.image_modules(), self.proposals, self.anchors]

    def dense_embedding(self, image: Tensor) -> Tensor:
        """F_V: (3, H, W) RGB 0-255 -> (D, h, w) of unit length, a location for each patch."""
        images = padded(self.preprocess(image, image_size({"image": image})))
        return self.backbone(images, self.proposals(images).masks).squeeze(0)
