"""The exported module of any system: from uint8 images to label maps, in a form that torch.export can trace.

Shapes: B images of H x W pixels, T names of the vocabulary, K of them kept, P templates, D text dimension.
"""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from errseg.errors import UsageError
from errseg.modeling import OpenVocabularySegmenter, system_of_model
from errseg.modeling.num_kept import NumKept, most_kept
from errseg.modeling.prediction import confidence_of
from errseg.modeling.views import MULTIPLE

from .native import best_at_size
from .sizes import LEAST, InputSize

__all__ = ["IMAGES", "LABELS", "MOST_NAMES", "PICTURE_SIZE", "SCORES", "TEXT", "ExportModule", "trace"]

IMAGES, TEXT, PICTURE_SIZE = "images", "text_embeddings", "picture_size"  # inputs
LABELS, SCORES = "labels", "scores"  # outputs
MOST_NAMES = 1 << 20  # limit of T with an open vocabulary; int32 labels could hold more, but memory cannot


class ExportModule(nn.Module):
    """Input: uint8 images. Output: labels and confidences.

    Args:
        model: in evaluation mode, its vocabulary set; its weights are shared.
        num_kept: K.
        text: (T, D) or (T, P, D) embeddings that become part of the module; None: they are an input, of any number of
            names.
        classes: the class that each row of ``text`` belongs to; labels are classes. None: labels are rows.
        native_size: the pictures' height and width are an input, and label map and confidences have that size.
    """

    def __init__(
        self,
        model: OpenVocabularySegmenter,
        num_kept: NumKept,
        text: Tensor | None,
        classes: tuple[int, ...] | None,
        native_size: bool = False,
    ):
        super().__init__()
        self.model = system_of_model(model).exportable(model, text is None)
        self.embed_shape = tuple(model.encoded().text.shape[1:])  # (D,), or (P, D) where templates are kept apart
        self.num_kept = num_kept
        self.native_size = native_size
        self.register_buffer("text", text)
        self.register_buffer("classes", None if classes is None else torch.tensor(classes))
        self.label_dtype = torch.int32 if classes is None else label_dtype(max(classes) + 1)
        self.eval()

    def forward(self, images: Tensor, *more: Tensor) -> tuple[Tensor, Tensor]:
        """Label images.

        Args:
            images: (B, 3, H, W) uint8 RGB.
            more: (T, D) or (T, P, D) float32 where the text is an input; (2,) int64, the height and width of the
                pictures, with ``native_size``.

        Returns:
            Labels (B, H, W) integers, confidences (B, H, W) float32; or of the pictures' size.
        """
        text = F.normalize(more[0], dim=-1) if self.text is None else self.text
        x = self.model.normalize(images.float()).contiguous(memory_format=torch.channels_last)
        prediction = self.model.segment(x, text, self.num_kept)
        if self.native_size:
            height, width = more[-1].tolist()
            for side in (height, width):
                torch._check(side >= 1)
            prediction = prediction.dense()
            if prediction.total is not None:
                total = F.interpolate(prediction.total, (height, width), mode="bilinear")
                prediction = replace(prediction, total=total)
            places, confidences = best_at_size(prediction.scores, (height, width))
        else:
            prediction = prediction.dense(images.shape[-2:])
            places, confidences = prediction.scores.argmax(1), prediction.scores.amax(1)  # of (B, K, H, W)
        ids = prediction.kept if self.classes is None else self.classes[prediction.kept]
        labels = ids.gather(1, places.flatten(1)).view_as(places)
        if prediction.total is not None:
            confidences = confidence_of(confidences, prediction.total.squeeze(1))
        return labels.to(self.label_dtype), confidences


def label_dtype(num_names: int) -> torch.dtype:
    """The smallest integer type for label images of this many names."""
    return torch.uint8 if num_names <= 1 << 8 else torch.uint16 if num_names <= 1 << 16 else torch.int32


def trace(module: ExportModule, size: InputSize) -> ExportedProgram:
    """Trace a module, for any number of names where they are an input.

    A file of one size takes any number of images. A file of any size takes one image: with three unknown lengths,
    tracing takes ten times as long.

    Raises:
        UsageError: torch's exporter cannot trace it.
    """
    images = torch.zeros(1 if size.is_dynamic else 2, 3, size.height, size.width, dtype=torch.uint8)
    free: dict[int, Any] = {0: Dim("batch", min=1)}
    if size.is_dynamic:
        free = {axis: MULTIPLE * Dim(name, min=LEAST // MULTIPLE) for axis, name in ((2, "_rows"), (3, "_columns"))}
    options = {}
    more: list[tuple[Tensor, dict[int, Any] | None]] = []
    if module.text is None:
        text = torch.ones(most_kept(module.num_kept, MOST_NAMES) + 5, *module.embed_shape)
        more.append((text, {0: Dim("names", min=2, max=MOST_NAMES)}))
        options["prefer_deferred_runtime_asserts_over_guards"] = True  # so that one program serves T <= K and T > K
    if module.native_size:
        more.append((torch.tensor([3 * size.height + 1, 2 * size.width + 1]), None))
    arguments, shapes = (
        (images, *(each for each, _ in more)),
        (free, *([tuple(each for _, each in more)] if more else [])),
    )
    try:
        with torch.no_grad():
            program = torch.export.export(module, arguments, dynamic_shapes=shapes, strict=False, **options)
    except Exception as error:  # the exporter raises many types
        reason = " ".join(str(error).split())[:300]
        raise UsageError(
            f"torch {torch.__version__} cannot export this model ({type(error).__name__}: {reason}); use torch 2.11."
        ) from error
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, GraphModule) else ():
            node.meta.pop("stack_trace", None)  # paths of this machine's files
    return program
