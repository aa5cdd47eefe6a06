"""The models of a benchmark: all forms and precisions have the same weights; each case has its own instance."""

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from torch import Tensor, nn

from .. import modeling
from ..modeling.clip.prompts import TokenizedNames
from ..modeling.layers import copy_on_same_weights
from ..modeling.num_kept import same_for_all
from ..modeling.vocabulary import EncodedNames
from .cases import PRECISIONS
from .names import NameList

SEED = 0


def build(cfg: CfgNode, weights: str = "", precision: str = "fp32") -> nn.Module:
    """A model with the weights of a checkpoint, or with random weights that are the same at every call.

    Args:
        cfg: the configuration; CLIP's weights are not downloaded.
        weights: a checkpoint; empty: random weights.
        precision: a key of ``PRECISIONS``; the float32 weights are rounded to it.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.CLIP.PRETRAINED = ""
    cfg.MODEL.PRECISION = "float32"
    torch.manual_seed(SEED)
    model = modeling.build(cfg, weights)
    model.caches_text = False  # the encoding of names is measured
    if precision != "fp32":
        model.set_precision(PRECISIONS[precision])
    return model


class Models:
    """One set of weights in several precisions.

    Args:
        cfg, weights: see ``build``.
    """

    def __init__(self, cfg: CfgNode, weights: str = ""):
        self._models = {"fp32": build(cfg, weights)}

    def of(self, precision: str) -> nn.Module:
        """A new instance with its own vocabulary and hooks; all instances of a precision share their weights."""
        if precision not in self._models:
            lowered = copy.deepcopy(self._models["fp32"])
            lowered.set_precision(PRECISIONS[precision])
            self._models[precision] = lowered
        return copy_on_same_weights(self._models[precision])


def set_embeddings(model: nn.Module, vocabulary: NameList, embeddings: Tensor) -> None:
    """Set the vocabulary of a model together with its text embeddings, (T, D) of unit length."""
    count = len(vocabulary.names)
    num_kept = same_for_all(vocabulary.num_classes, count)
    no_tokens = torch.zeros(0, 1, dtype=torch.long)
    untokenized = TokenizedNames(tuple(vocabulary.names), num_kept, no_tokens, no_tokens[:, 0])
    model.use(EncodedNames(untokenized, embeddings))


def random_embeddings(model: nn.Module, names: Sequence[str]) -> Tensor:
    """Random unit vectors in place of the names' embeddings: (T, D) on the model's device."""
    generator = torch.Generator().manual_seed(SEED)
    embeddings = torch.randn(text_shape(model, len(names)), generator=generator)
    return F.normalize(embeddings, dim=-1).to(model.device)


@torch.no_grad()
def text_shape(model: nn.Module, num_names: int) -> tuple[int, ...]:
    """(T, D), the shape of the text embeddings of ``num_names`` names."""
    return (num_names, *model.encode_names(model.tokenize(["a"])).shape[1:])
