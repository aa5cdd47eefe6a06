"""Stage 2: train the proposal network, and by its classes see how good the masks are (section 8 of the contract).

Shapes: B images, T names, N proposals, D the dimension that image and text share.
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor, nn

from ...errors import UsageError, arguments_from
from ..clip.encoder import CLIPEncoder, clip_arguments
from ..clip.policies import FROZEN
from ..clip.prompts import Prompter
from ..layers import match_gradient_strides
from ..views import Views
from .criterion import Criterion, Layer
from .matcher import Matcher
from .prompt import RegionClassifier, build_prompt
from .proposals import ProposalNetwork, Proposals
from .regions import RegionSegmenter, padded
from .start import load_backbone, load_part

__all__ = ["DeOPProposals", "LayerClassifier", "NoClasses", "TextCLIP"]


class TextCLIP(CLIPEncoder):
    """CLIP's frozen text tower; its image tower is dropped. Arguments as of ``CLIPEncoder``."""

    def __init__(self, clip: nn.Module, **arguments: Any):
        super().__init__(clip, **arguments)
        self.clip.visual = nn.Identity()


class LayerClassifier(RegionClassifier):
    """The classes of the queries of every decoder layer. Arguments as of ``RegionClassifier``."""

    is_trained = True

    def of_layers(self, regions: list[Tensor], text: Tensor) -> list[Tensor | None]:
        """The class logits that are trained: for each layer (B, N, D), and (T, D) -> (B, N, T + 1)."""
        return [self(each, text) for each in regions]


class NoClasses(RegionClassifier):
    """Takes the place of ``LayerClassifier`` where masks are trained without names. Its parameter is frozen."""

    is_trained = False

    def of_layers(self, regions: list[Tensor], text: Tensor) -> list[Tensor | None]:
        """No class logits are trained."""
        return [None] * len(regions)

    def forward(self, regions: Tensor, text: Tensor) -> Tensor:
        """Refuse.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            "This network has learned masks without names (MODEL.PROPOSALS.CLASS_AGNOSTIC), so it cannot segment; give "
            "its checkpoint to the last stage of DeOP as MODEL.PROPOSALS.WEIGHTS."
        )


@META_ARCH_REGISTRY.register()
class DeOPProposals(RegionSegmenter):
    """The proposal network, with a class for each query: MaskFormer whose classes are text embeddings.

    Args:
        backbone: CLIP's text tower.
        proposals: the network that proposes masks; it is trained, its class embedding only with the classifier.
        prompt: turns tokens into text embeddings; it is frozen.
        classifier: compares embeddings of queries with text embeddings, or does not know any names.
        criterion: the losses of the decoder layers.
        prompter: turns names into tokens.
        pixel_mean, pixel_std: RGB, 0-255.
        views: what the model sees of a test image.
        ignore_label: the label of pixels without a class.
        precision: "float32", "bfloat16" or "float16"; the last two are only for tests.
    """

    @configurable
    def __init__(
        self,
        backbone: CLIPEncoder,
        proposals: ProposalNetwork,
        prompt: nn.Module,
        classifier: LayerClassifier | NoClasses,
        criterion: Criterion,
        prompter: Prompter,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        views: Views,
        ignore_label: int = 255,
        precision: str = "float32",
    ):
        super().__init__(pixel_mean, pixel_std, views, ignore_label)
        self.backbone = backbone
        self.proposals = proposals
        self.prompt = prompt.requires_grad_(False)
        self.classifier = classifier.requires_grad_(classifier.is_trained)
        self.proposals.predictor.class_embed.requires_grad_(classifier.is_trained)
        self.criterion = criterion
        self.prompter = prompter
        match_gradient_strides(self)
        self.set_precision(precision)

    @classmethod
    def from_config(cls, cfg) -> dict:
        backbone = TextCLIP(**clip_arguments(cfg, FROZEN))
        with arguments_from("MODEL.PROMPT", clip_name="MODEL.CLIP.NAME"):
            prompt, prompter = build_prompt(cfg, backbone.clip)
        proposals, keys = ProposalNetwork(cfg, backbone.embed_dim), cfg.MODEL.PROPOSALS
        if keys.CLASS_AGNOSTIC and len(cfg.DATASETS.TEST):
            raise UsageError(
                f"MODEL.PROPOSALS.CLASS_AGNOSTIC is True, so the names of DATASETS.TEST = {tuple(cfg.DATASETS.TEST)} "
                "cannot be scored; set DATASETS.TEST to ()."
            )
        load_part(cfg, "MODEL.PROMPT.WEIGHTS", prompt, "prompt.")
        load_backbone(cfg, proposals.backbone)
        matcher = Matcher(keys.FOCAL_WEIGHT, keys.DICE_WEIGHT)
        return {
            "backbone": backbone,
            "proposals": proposals,
            "prompt": prompt,
            "classifier": (NoClasses if keys.CLASS_AGNOSTIC else LayerClassifier)(backbone.embed_dim),
            "criterion": Criterion(
                matcher, focal=keys.FOCAL_WEIGHT, dice=keys.DICE_WEIGHT, no_object=keys.NO_OBJECT_WEIGHT
            ),
            "prompter": prompter,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "views": Views.from_config(cfg, native=True),
            "ignore_label": cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
            "precision": cfg.MODEL.PRECISION,
        }

    def modules_of_precision(self) -> list[nn.Module]:
        """The proposal network; the text tower, masks and scores stay in float32."""
        return [self.proposals]

    def regions(self, images: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """See ``RegionSegmenter.regions``."""
        found = self.proposals(padded(images))
        return found.masks, self.classifier(self.embed(found), text.float())

    def embed(self, found: Proposals) -> Tensor:
        """The embeddings of proposals that are compared with names: (B, N, D) float32 of unit length."""
        return F.normalize(self.proposals.predictor.class_embed(found.queries).float(), dim=-1)

    def losses(self, batched_inputs: list[dict]) -> dict[str, Tensor]:
        """The weighted losses of every decoder layer; see ``forward`` and ``Criterion``."""
        images, labels, text = self.training_batch(batched_inputs)
        found = self.proposals.each_layer(padded(images))
        logits = self.classifier.of_layers([self.embed(each) for each in found], text.float())
        layers = [Layer(each.masks, classes) for each, classes in zip(found, logits, strict=True)]
        return self.criterion(layers, labels, self.ignore_label)
