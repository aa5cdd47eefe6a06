"""Stage 1: learn the prompt, by classifying crops of regions (section 8 of the contract).

Shapes: B crops, S the side of a crop in pixels, T names, D the dimension that image and text share.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor, nn

from ...errors import UsageError, arguments_from
from ..clip.encoder import clip_arguments
from ..clip.policies import FROZEN
from ..clip.prompts import Prompter
from ..num_kept import NumKept
from ..prediction import Prediction
from ..views import Views
from .image_tower import SeveredViTCLIP
from .prompt import build_prompt, class_logits
from .regions import PromptedSegmenter
from .start import load_part

__all__ = ["CANNOT_SEGMENT", "DeOPPrompt"]

CANNOT_SEGMENT = (
    "it classifies crops, to learn the prompt; give its checkpoint to the next stages of DeOP as MODEL.PROMPT.WEIGHTS"
)


@META_ARCH_REGISTRY.register()
class DeOPPrompt(PromptedSegmenter):
    """CLIP compares a crop that shows one class with the names, which the prompt turns into text embeddings.

    Only the prompt is trained. Templates in its place can be evaluated, but have nothing to train.

    Args:
        backbone: CLIP's towers, without learned positions and severance; they are frozen.
        prompt: turns tokens into text embeddings.
        prompter: turns names into tokens.
        pixel_mean, pixel_std: RGB, 0-255.
        views: not used; crops come from the loader.
        ignore_label: not used; a crop has a class.
    """

    @configurable
    def __init__(
        self,
        backbone: SeveredViTCLIP,
        prompt: nn.Module,
        prompter: Prompter,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        views: Views,
        ignore_label: int = 255,
    ):
        super().__init__(pixel_mean, pixel_std, views, ignore_label)
        self.backbone = backbone.requires_grad_(False)
        self.prompt = prompt.requires_grad_(True)
        self.prompter = prompter

    @classmethod
    def from_config(cls, cfg) -> dict:
        _check(cfg)
        backbone = SeveredViTCLIP(**clip_arguments(cfg, FROZEN), mode="none", blocks=(), grid=None)
        _check_sides(cfg, backbone.patch_size)
        with arguments_from("MODEL.PROMPT", clip_name="MODEL.CLIP.NAME"):
            prompt, prompter = build_prompt(cfg, backbone.clip)
        load_part(cfg, "MODEL.PROMPT.WEIGHTS", prompt, "prompt.")
        return {
            "backbone": backbone,
            "prompt": prompt,
            "prompter": prompter,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "views": Views.from_config(cfg),
            "ignore_label": cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
        }

    # ---- the model ----

    def forward(  # type: ignore[override]  # crops have masks, which pixel_values could not carry
        self, batched_inputs: list[dict]
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """The loss in training, class logits otherwise.

        Args:
            batched_inputs: per crop, "image" (3, S, S) RGB 0-255 and "mask" (S, S) bool, True at the pixels that the
                model sees. In training also "class_id", an index of the vocabulary's names.

        Returns:
            In training ``{"loss_ce": scalar}``; otherwise per crop ``{"classification": (T,)}``, logits of the names.

        Raises:
            RuntimeError: no vocabulary is set.
            UsageError: an entry is missing, or a class lies outside the vocabulary.
        """
        if self.training:
            return self.losses(batched_inputs)
        text = self.encoded().text
        assert text is not None  # outside of training
        return [{"classification": logits} for logits in self.classify(self.crops(batched_inputs), text)]

    def losses(self, batched_inputs: list[dict]) -> dict[str, Tensor]:
        """The cross-entropy of the names; see ``forward``."""
        encoded, text = self.text_for_training()
        classes = _classes(batched_inputs, len(encoded.names))
        logits = self.classify(self.crops(batched_inputs), text)
        return {"loss_ce": F.cross_entropy(logits, torch.tensor(classes, device=logits.device))}

    def classify(self, crops: Tensor, text: Tensor) -> Tensor:
        """100 times the cosine of crops and names: (B, 3, S, S) normalised and (T, D) -> (B, T)."""
        with torch.no_grad():
            embeddings = self.backbone.class_embedding(crops)
        return class_logits(embeddings, text)

    def crops(self, batched_inputs: list[dict]) -> Tensor:
        """The crops of a batch, normalised: (B, 3, S, S).

        Pixels outside the mask get CLIP's mean in the range 0-1, as a value *after* normalisation, as in the release.
        """
        for inputs in batched_inputs:
            if "mask" not in inputs:
                raise UsageError(f"{_name(inputs)} has no 'mask'; {type(self).__name__} takes crops of regions.")
        images = torch.stack([inputs["image"] for inputs in batched_inputs]).to(self.device, non_blocking=True)
        masks = torch.stack([inputs["mask"] for inputs in batched_inputs]).to(self.device, non_blocking=True)
        return torch.where(masks.unsqueeze(1), self.normalize(images.float()), self.pixel_mean / 255)

    def segment(self, images: Tensor, text: Tensor, num_kept: NumKept, show: bool = False) -> Prediction:
        """Refuse.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{type(self).__name__} cannot segment: {CANNOT_SEGMENT}.")

    def modules_of_precision(self) -> list[nn.Module]:
        """The image tower; the text tower stays in float32."""
        return self.backbone.image_modules()


def _check(cfg) -> None:
    """Raise UsageError where a key asks for what this stage does not have."""
    for tower in ("IMAGE", "TEXT"):
        if cfg.MODEL.CLIP[f"FINETUNE_{tower}"]:
            raise UsageError(
                f"MODEL.CLIP.FINETUNE_{tower} is True, but this stage of DeOP trains the prompt alone; set it to False."
            )


def _check_sides(cfg, patch: int) -> None:
    """Raise UsageError where a crop's side does not fit the patches of the image tower."""
    for key in ("RESOLUTION_TRAIN", "RESOLUTION_TEST"):
        side = cfg.INPUT[key]
        if side % patch:
            near = max(1, round(side / patch)) * patch
            raise UsageError(f"INPUT.{key} = {side} is no multiple of {patch}, the side of a patch; give {near}.")


def _classes(batched_inputs: list[dict], num_names: int) -> list[int]:
    """The classes of a batch, checked."""
    for inputs in batched_inputs:
        if "class_id" not in inputs:
            raise UsageError(f"{_name(inputs)} has no 'class_id' to train on; call model.eval() first to classify.")
        if not 0 <= inputs["class_id"] < num_names:
            raise UsageError(
                f"{_name(inputs)}: the class {inputs['class_id']} is outside the vocabulary of {num_names} names; "
                "set the names of the training data."
            )
    return [inputs["class_id"] for inputs in batched_inputs]


def _name(inputs: dict) -> str:
    return inputs.get("file_name", "an image")
