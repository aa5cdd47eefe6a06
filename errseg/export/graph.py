"""What is exported: from bytes to a label map, as one module that torch.export can trace.

Shapes: B images of R x R pixels, T names that are asked for, K of them kept, D text dimension.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from errseg.errors import UsageError
from errseg.modeling import ERRSeg
from errseg.modeling.err_seg.crm import CRM
from errseg.modeling.layers import resize

__all__ = ["IMAGES", "LABELS", "MOST_NAMES", "SCORES", "TEXT", "ExportModule", "trace"]

IMAGES, TEXT = "images", "text_embeddings"  # inputs
LABELS, SCORES = "labels", "scores"  # outputs
MOST_NAMES = 1 << 20  # of an open vocabulary; int32 labels hold more, but nobody's memory does


class AnyNumberCRM(nn.Module):
    """CRM for a number of names that tracing does not know: the K best, or all where there are no more than K.

    Args:
        crm: the CRM that it stands in for.
    """

    def __init__(self, crm: CRM):
        super().__init__()
        self.crm = crm

    def forward(self, cost_map: Tensor, num_classes: int, present: Tensor | None = None) -> Tensor:
        """(B, T, H, W) -> (B, min(K, T)) int64 ids, ascending."""
        spare = self.crm.top_categories  # classes behind all others, so that every location has enough to rank
        scores = self.crm.scores(F.pad(cost_map, (0, 0, 0, 0, 0, spare), value=-2.0))[:, : cost_map.shape[1]]
        place = scores.sort(dim=1, descending=True, stable=True).indices.argsort(dim=1)  # of each class, 0 the best
        # Unlike a slice, topk is traced for T <= K and T > K at once
        best = place.topk(torch.sym_min(num_classes, cost_map.shape[1]), dim=1, largest=False)
        return best.indices.sort(dim=1).values


class ExportModule(nn.Module):
    """Bytes in, labels and confidences out; the text tower stays behind.

    Args:
        model: in evaluation mode; its weights are shared.
        num_classes: K.
        text: (T, D) embeddings that are baked in; None: they are an input, of any number of names.
        classes: the name that each row of ``text`` stands for; labels are these. None: labels are rows.
    """

    def __init__(self, model: ERRSeg, num_classes: int, text: Tensor | None, classes: tuple[int, ...] | None):
        super().__init__()
        self.backbone = _without_text_tower(model.backbone)
        crm = model.sem_seg_head.crm
        any_number = text is None and isinstance(crm, CRM)
        self.head = _with_module(model.sem_seg_head, "crm", AnyNumberCRM(crm) if any_number else crm)
        self.embed_dim = model.backbone.embed_dim
        self.num_classes = num_classes
        self.register_buffer("pixel_mean", model.pixel_mean)
        self.register_buffer("pixel_std", model.pixel_std)
        self.register_buffer("text", text)
        self.register_buffer("classes", None if classes is None else torch.tensor(classes))
        self.label_dtype = torch.int32 if classes is None else label_dtype(max(classes) + 1)
        self.eval()

    def forward(self, images: Tensor, text: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, 3, R, R) uint8 RGB and (T, D) float32 -> labels (B, R, R) integers, scores (B, R, R) float32."""
        text = self.text if text is None else F.normalize(text, dim=-1)
        x = ((images.float() - self.pixel_mean) / self.pixel_std).contiguous(memory_format=torch.channels_last)
        logits, kept = self.head(self.backbone(x), text, self.num_classes)
        ids = kept if self.classes is None else self.classes[kept]
        scores = logits.float().sigmoid().contiguous(memory_format=torch.channels_last)
        scores = resize(scores, images.shape[-2:])  # (B, K, R, R)
        places = scores.argmax(1)
        labels = ids.gather(1, places.flatten(1)).view_as(places)
        return labels.to(self.label_dtype), scores.amax(1)


def label_dtype(num_names: int) -> torch.dtype:
    """The smallest integers that images of labels come in."""
    return torch.uint8 if num_names <= 1 << 8 else torch.uint16 if num_names <= 1 << 16 else torch.int32


def _with_module(parent: nn.Module, name: str, module: nn.Module) -> nn.Module:
    """A shallow copy of ``parent`` with another child; all else is shared."""
    other = copy.copy(parent)
    other._modules = {**parent._modules, name: module}
    return other


def _without_text_tower(backbone: nn.Module) -> nn.Module:
    clip = nn.Module()
    clip.visual = backbone.clip.visual
    return _with_module(backbone, "clip", clip)


def trace(module: ExportModule, resolution: int) -> ExportedProgram:
    """The program of a module: any number of images, and of names where they are an input.

    Raises:
        UsageError: torch's exporter cannot trace it.
    """
    images = torch.zeros(2, 3, resolution, resolution, dtype=torch.uint8)
    arguments, shapes, options = (images,), ({0: Dim("batch", min=1)},), {}
    if module.text is None:
        text = torch.ones(module.num_classes + 5, module.embed_dim)
        arguments, shapes = (images, text), (*shapes, {0: Dim("names", min=2, max=MOST_NAMES)})
        options["prefer_deferred_runtime_asserts_over_guards"] = True  # T <= K and T > K in one program
    try:
        with torch.no_grad():
            program = torch.export.export(module, arguments, dynamic_shapes=shapes, strict=False, **options)
    except Exception as error:  # the exporter's own kinds are many
        reason = " ".join(str(error).split())[:300]
        raise UsageError(
            f"torch {torch.__version__} cannot export this model ({type(error).__name__}: {reason}); use torch 2.11."
        ) from error
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, GraphModule) else ():
            node.meta.pop("stack_trace", None)  # paths of this machine's files
    return program
