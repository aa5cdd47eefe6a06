"""The exported module of any system: from uint8 images to label maps, in a form that torch.export can trace.

Shapes: B images of R x R pixels, T names of the vocabulary, K of them kept, D text dimension.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from errseg.errors import UsageError
from errseg.modeling import OpenVocabularySegmenter, system_of_model
from errseg.modeling.num_kept import NumKept, most_kept
from errseg.modeling.prediction import confidence_of

__all__ = ["IMAGES", "LABELS", "MOST_NAMES", "SCORES", "TEXT", "ExportModule", "trace"]

IMAGES, TEXT = "images", "text_embeddings"  # inputs
LABELS, SCORES = "labels", "scores"  # outputs
MOST_NAMES = 1 << 20  # limit of T with an open vocabulary; int32 labels could hold more, but memory cannot


class ExportModule(nn.Module):
    """Input: uint8 images. Output: labels and confidences.

    Args:
        model: in evaluation mode, its vocabulary set; its weights are shared.
        num_kept: K.
        text: (T, D) embeddings that become part of the module; None: they are an input, of any number of names.
        classes: the class that each row of ``text`` belongs to; labels are classes. None: labels are rows.
    """

    def __init__(
        self, model: OpenVocabularySegmenter, num_kept: NumKept, text: Tensor | None, classes: tuple[int, ...] | None
    ):
        super().__init__()
        self.model = system_of_model(model).exportable(model, text is None)
        self.embed_dim = model.encoded().text.shape[1]
        self.num_kept = num_kept
        self.register_buffer("text", text)
        self.register_buffer("classes", None if classes is None else torch.tensor(classes))
        self.label_dtype = torch.int32 if classes is None else label_dtype(max(classes) + 1)
        self.eval()

    def forward(self, images: Tensor, text: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, 3, R, R) uint8 RGB and (T, D) float32 -> labels (B, R, R) integers, confidences (B, R, R) float32."""
        text = self.text if text is None else F.normalize(text, dim=-1)
        x = self.model.normalize(images.float()).contiguous(memory_format=torch.channels_last)
        prediction = self.model.segment(x, text, self.num_kept).dense(images.shape[-2:])
        scores = prediction.scores  # (B, K, R, R)
        places = scores.argmax(1)
        ids = prediction.kept if self.classes is None else self.classes[prediction.kept]
        labels = ids.gather(1, places.flatten(1)).view_as(places)
        confidences = scores.amax(1)
        if prediction.total is not None:
            confidences = confidence_of(confidences, prediction.total.squeeze(1))
        return labels.to(self.label_dtype), confidences


def label_dtype(num_names: int) -> torch.dtype:
    """The smallest integer type for label images of this many names."""
    return torch.uint8 if num_names <= 1 << 8 else torch.uint16 if num_names <= 1 << 16 else torch.int32


def trace(module: ExportModule, resolution: int) -> ExportedProgram:
    """Trace a module, for any number of images, and for any number of names where they are an input.

    Raises:
        UsageError: torch's exporter cannot trace it.
    """
    images = torch.zeros(2, 3, resolution, resolution, dtype=torch.uint8)
    arguments, shapes, options = (images,), ({0: Dim("batch", min=1)},), {}
    if module.text is None:
        text = torch.ones(most_kept(module.num_kept, MOST_NAMES) + 5, module.embed_dim)
        arguments, shapes = (images, text), (*shapes, {0: Dim("names", min=2, max=MOST_NAMES)})
        options["prefer_deferred_runtime_asserts_over_guards"] = True  # so that one program serves T <= K and T > K
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
