"""SED: cosines of every location and every prompt of every name, decoded in three stages.

Shapes: B images, T names, P templates, K names kept, D text dimension, R side of the square that the encoder sees, n =
R / 32.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from torch import Tensor, nn

from ...errors import ArgumentError, UsageError, arguments_from
from ..clip.prompts import Prompter
from ..layers import call, match_gradient_strides, recompute
from ..losses import dense_binary_cross_entropy
from ..num_kept import NumKept
from ..prediction import Prediction
from ..segmenter import OpenVocabularySegmenter
from ..views import Views
from .cost import prompt_costs
from .decoder import Decoder, build_decoder
from .rejection import KeepAll, Rejection

__all__ = ["SED"]

MAPS = ("os16", "os8", "os4")  # the feature maps that guide the decoder


@META_ARCH_REGISTRY.register()
class SED(OpenVocabularySegmenter):
    """SED.

    Args:
        backbone: the CLIP encoder, with image and text tower.
        decoder: turns cost maps and feature maps into logits.
        prompter: turns names into prompts and tokens; it keeps the templates apart.
        pixel_mean, pixel_std: RGB, 0-255.
        views: what the encoder sees of a test image.
        resolution_train: R in training, in pixels.
        ignore_label: the label of pixels without a class.
        precision: "float32", "bfloat16" or "float16", of the image tower and the decoder; the last two are only for
            tests.
        heads_only: training moves the auxiliary heads alone (section 9).

    Raises:
        ArgumentError: the resolution is too small, or there is no such precision.
    """

    @configurable
    def __init__(
        self,
        backbone: nn.Module,
        decoder: Decoder,
        prompter: Prompter,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        views: Views,
        resolution_train: int = 768,
        ignore_label: int = 255,
        precision: str = "float32",
        heads_only: bool = False,
    ):
        super().__init__(pixel_mean, pixel_std, views, ignore_label)
        if resolution_train < 64:
            raise ArgumentError(
                "{resolution_train} = %s is too small for four strides; give 64 or more.", resolution_train
            )
        self.backbone = backbone
        self.decoder = decoder
        self.heads_only = heads_only
        if heads_only:
            self.requires_grad_(False)
            self.decoder.aux_heads.requires_grad_(True)
        match_gradient_strides(self)
        self.prompter = prompter
        self.resolution_train = resolution_train
        self.set_precision(precision)

    @classmethod
    def from_config(cls, cfg) -> dict:
        backbone = build_backbone(cfg)
        with arguments_from("MODEL.PROMPT", clip_name="MODEL.CLIP.NAME"):
            prompter = Prompter(
                cfg.MODEL.CLIP.NAME, cfg.MODEL.PROMPT.TEMPLATES, cfg.MODEL.PROMPT.SYNONYMS, separator=", ", apart=True
            )
        return {
            "backbone": backbone,
            "decoder": cls._build_decoder(cfg, len(prompter.templates), backbone.output_shape()),
            "prompter": prompter,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "views": Views.from_config(cfg),
            "resolution_train": cfg.INPUT.RESOLUTION_TRAIN,
            "ignore_label": cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
            "precision": cfg.MODEL.PRECISION,
            "heads_only": cfg.MODEL.REJECTION.HEADS_ONLY,
        }

    @staticmethod
    def _build_decoder(cfg, num_templates: int, shapes: dict) -> Decoder:
        keys = cfg.MODEL.FUSION
        for pooling, key in (("POOLING", "RESOLUTION_TRAIN"), ("POOLING_TEST", "RESOLUTION_TEST")):
            check_resolution(cfg.INPUT[key], f"INPUT.{key}", keys[pooling], f"MODEL.FUSION.{pooling}")
        with arguments_from("MODEL.REJECTION"):
            reject = Rejection(cfg.MODEL.REJECTION.TOP_K) if cfg.MODEL.REJECTION.ENABLED else KeepAll()
        with arguments_from("MODEL.FUSION"):
            return build_decoder(
                num_templates,
                [shapes[name].channels for name in MAPS],
                dim=keys.DIM,
                spatial=keys.SPATIAL,
                kernel_sizes=keys.KERNEL_SIZES,
                class_attention=keys.CLASS_ATTENTION,
                pooling=keys.POOLING,
                pooling_test=keys.POOLING_TEST,
                feature_guidance=keys.FEATURE_GUIDANCE,
                cost_guidance=keys.COST_GUIDANCE,
                detach=keys.DETACH,
                decay_norms=keys.DECAY_NORMS,
                reject=reject,
                run=recompute if cfg.MODEL.GRADIENT_CHECKPOINTING else call,
            )

    def modules_of_precision(self) -> list[nn.Module]:
        """The image tower and the decoder; text tower, normalisation and cosines stay in float32."""
        return [*self.backbone.image_modules(), self.decoder]

    def segment(self, images: Tensor, text: Tensor, num_kept: NumKept, show: bool = False) -> Prediction:
        """See ``OpenVocabularySegmenter.segment``. Here ``text`` is (T, P, D), and every name is kept.

        With early rejection, the names kept are those that an image of the batch keeps; those that another image
        rejects have the score 0 there.
        """
        features = self.backbone(images)
        return self.decoder.predict(features["E32"], text, [features[name] for name in MAPS])

    costs = staticmethod(prompt_costs)

    def losses(self, batched_inputs: list[dict]) -> dict[str, Tensor]:
        """The training losses (section 9): of the logits, and of each auxiliary head; see ``forward``.

        Where the heads alone are trained, the first one is left out.
        """
        encoded, text = self.text_for_training()
        labels = self.stack_labels(batched_inputs)
        self.present_names(labels, batched_inputs, len(encoded.names))  # checks the labels
        labels, square = labels.to(self.device), (self.resolution_train, self.resolution_train)
        features = self.backbone(torch.cat([self.preprocess(inputs["image"], square) for inputs in batched_inputs]))
        logits, aux = self.decoder(self.costs(features["E32"], text), [features[name] for name in MAPS])
        losses = {} if self.heads_only else {"loss_sem_seg": self.loss(logits, labels)}
        return losses | {f"loss_aux{i}": self.loss(each, labels) for i, each in enumerate(aux)}

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Binary cross-entropy, mean over all names and pixels: (B, T, h, w), (B, H, W) -> scalar."""
        kept = torch.arange(logits.shape[1], device=logits.device).expand(len(logits), -1)
        return dense_binary_cross_entropy(logits, kept, labels, logits.shape[1], self.ignore_label)

    def dense_embedding(self, image: Tensor) -> Tensor:
        """The dense embedding E32: (3, H, W) RGB 0-255 -> (D, n, n) of unit length."""
        side = self.views.resolution
        return F.normalize(self.backbone(self.preprocess(image, (side, side)))["E32"].float(), dim=1).squeeze(0)


def check_resolution(resolution: int, key: str, pooling: int, pooling_key: str) -> None:
    """Check that the maps of all strides fit together at a resolution, and are not pooled to nothing.

    Raises:
        UsageError: they do not; the message names the keys.
    """
    if resolution % 32:
        raise UsageError(f"{key} = {resolution} is no multiple of 32, SED's coarsest stride; give one, such as 768.")
    if pooling > resolution // 32:
        raise UsageError(
            f"{pooling_key} = {pooling}, but {key} = {resolution} gives a cost map of {resolution // 32} locations in "
            "each direction; give less."
        )
