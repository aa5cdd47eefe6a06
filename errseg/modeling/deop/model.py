"""DeOP: class-agnostic masks, one pass through CLIP, and an embedding for each mask (Figure 2 of its paper).

Shapes: B images, T names, N proposals and anchors, D the dimension that image and text share, H x W an image's size.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from torch import Tensor, nn

from ...errors import arguments_from
from ..clip.prompts import Prompter, TokenizedNames, embed_names
from ..layers import resize
from ..prediction import Prediction, image_size
from ..segmenter import OpenVocabularySegmenter
from ..views import Views
from .anchors import AnchorDecoder
from .losses import score_losses
from .prompt import RegionClassifier, build_prompt
from .proposals import ProposalNetwork

__all__ = ["MULTIPLE", "DeOP"]

MULTIPLE = 32  # images are padded to a multiple of the coarsest stride


@META_ARCH_REGISTRY.register()
class DeOP(OpenVocabularySegmenter):
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
        self.backbone: Any = backbone
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
        return {
            "backbone": backbone,
            "proposals": ProposalNetwork(cfg, backbone.embed_dim),
            "anchors": anchors,
            "prompt": prompt,
            "classifier": RegionClassifier(backbone.embed_dim),
            "prompter": prompter,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "views": Views.from_config(cfg),
            "loss_weights": (cfg.MODEL.LOSS.FOCAL, cfg.MODEL.LOSS.DICE),
            "slope": cfg.MODEL.LOSS.SLOPE,
            "ignore_label": cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
            "precision": cfg.MODEL.PRECISION,
        }

    # ---- names ----

    def encode_names(self, tokenized: TokenizedNames) -> Tensor:
        """Text embeddings: (T, D) of unit length."""
        return embed_names(tokenized, lambda tokens: self.prompt(self.backbone.clip, tokens, self.backbone.run))

    @property
    def text_is_trained(self) -> bool:
        """Whether training changes the text embeddings."""
        return self.backbone.text_is_trained or any(p.requires_grad for p in self.prompt.parameters())

    # ---- the model ----

    def segment(self, images: Tensor, text: Tensor, num_kept: int, show: bool = False) -> Prediction:
        """See ``OpenVocabularySegmenter.segment``. Images may have any size; every name is kept.

        ``shown`` has the "masks" (B, N, h, w) and the probabilities of the "classes" (B, N, T + 1), no-object last.
        """
        height, width = images.shape[-2:]
        masks, logits = self.regions(images, text)
        probabilities = logits.softmax(-1)
        padded = resize(masks, (height + -height % MULTIPLE, width + -width % MULTIPLE))
        maps = padded[..., :height, :width].sigmoid()
        kept = torch.arange(text.shape[0], device=images.device).expand(images.shape[0], -1)
        shown = {"masks": maps, "classes": probabilities} if show else {}
        every_map = maps.new_ones(1, 1, maps.shape[1]).expand(images.shape[0], -1, -1)
        return Prediction(maps, kept, total=every_map, shown=shown, mix=probabilities[..., :-1].mT)

    def regions(self, images: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Proposals and their classes.

        Args:
            images: (B, 3, H, W) normalised; they are padded with 0 at the right and the bottom.
            text: (T, D) text embeddings of unit length.

        Returns:
            Mask logits (B, N, H' / 4, W' / 4), H' x W' the padded size, and class logits (B, N, T + 1), no-object last.
        """
        height, width = images.shape[-2:]
        images = F.pad(images, (0, -width % MULTIPLE, 0, -height % MULTIPLE))
        with torch.no_grad():
            masks = self.proposals(images).masks
        embeddings = self.anchors(self.backbone(images, masks), masks)
        return masks, self.classifier(embeddings, text.float())

    def losses(self, batched_inputs: list[dict]) -> dict[str, Tensor]:
        """The weighted training losses (section 7); see ``forward``."""
        encoded, text = self.text_for_training()
        labels = self.stack_labels(batched_inputs)
        self.present_names(labels, batched_inputs, len(encoded.names))  # checks the labels
        height, width = labels.shape[-2:]
        padding = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
        labels = F.pad(labels.to(self.device), padding, value=self.ignore_label)
        images = torch.cat([self.preprocess(x["image"], (height, width)) for x in batched_inputs])
        masks, logits = self.regions(images, text)
        focal, dice = score_losses(logits, masks, labels, self.slope, ignore_label=self.ignore_label)
        no_effect: Any = sum(parameter.sum() for parameter in self.anchors.without_effect())
        weight_focal, weight_dice = self.loss_weights
        return {"loss_focal": weight_focal * focal, "loss_dice": weight_dice * dice + 0 * no_effect}

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
        """F_V: (3, H, W) RGB 0-255 -> (D, h, w) of unit length, stride 16."""
        images = self.preprocess(image, image_size({"image": image}))
        height, width = images.shape[-2:]
        images = F.pad(images, (0, -width % MULTIPLE, 0, -height % MULTIPLE))
        return self.backbone(images, self.proposals(images).masks).squeeze(0)
