"""Names to text embeddings by a learned prompt or templates, and the classification of regions (sections 5 and 6).

Shapes: B images, N prompts or regions, L tokens, T names, D the dimension that image and text share.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import UsageError
from ..clip.build import CLIPModel
from ..clip.prompts import Prompter
from ..clip.text_tower import encode_embedded, encode_prompts, is_plain_causal
from ..layers import without_autocast

__all__ = ["FixedPrompt", "LearnedPrompt", "RegionClassifier", "build_prompt", "class_logits"]

LOGIT_SCALE = 100.0  # of cosines
NAME_AND_STOP = "{} ."  # the name, and the token of a full stop; the tokenizer adds the start and end tokens


class LearnedPrompt(nn.Module):
    """Learned vectors stand between the start token and the name; a full stop and the end token follow the name.

    Args:
        width: width of the text tower.
        length: number of learned vectors.
        trained: whether training changes them.
    """

    def __init__(self, width: int, length: int = 16, trained: bool = True):
        super().__init__()
        self.prefix = nn.Parameter(torch.randn(length, width) * 0.02, requires_grad=trained)

    def forward(self, clip: CLIPModel, tokens: Tensor, run: Callable) -> Tensor:
        """The embeddings of prompts.

        Args:
            clip: an open_clip model.
            tokens: (N, L) ids: start token, name, full stop, end token, padding; on any device.
            run: see ``encode_prompts``.

        Returns:
            (N, D) of unit length.
        """
        ends = tokens.argmax(dim=1) - 1  # EOT has the highest id
        embedded = clip.token_embedding(tokens[:, : int(ends.max()) + 2].to(self.prefix.device))
        first = torch.cat([embedded[0, :1], self.prefix.to(embedded.dtype)])
        return F.normalize(encode_embedded(clip, first.unsqueeze(0), embedded[:, 1:], ends, run).float(), dim=-1)


class FixedPrompt(nn.Module):
    """Templates, without parameters."""

    def forward(self, clip: CLIPModel, tokens: Tensor, run: Callable) -> Tensor:
        """See ``LearnedPrompt.forward``; the tokens are those of whole prompts."""
        return F.normalize(encode_prompts(clip, tokens, run).float(), dim=-1)


class RegionClassifier(nn.Module):
    """Cosines of regions with names, and with the learned embedding of regions that show none of the names.

    Args:
        dim: D.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.no_object = nn.Parameter(torch.randn(1, dim) * dim**-0.5)

    def forward(self, regions: Tensor, text: Tensor) -> Tensor:
        """Logits of the names: (B, N, D) and (T, D) float32 of unit length -> (B, N, T + 1), no-object last."""
        return class_logits(regions, self.rows(text))

    def rows(self, text: Tensor) -> Tensor:
        """Append the no-object embedding: (T, D) -> (T + 1, D) of unit length."""
        return torch.cat([text, F.normalize(self.no_object.to(text.dtype), dim=-1)])


def class_logits(embeddings: Tensor, text: Tensor) -> Tensor:
    """100 times the cosines, in float32 even under autocast: (..., N, D) and (T, D) of unit length -> (..., N, T).

    In bfloat16, logits near 30 would be rounded by up to 0.06.
    """
    with without_autocast(embeddings.device):
        return LOGIT_SCALE * embeddings.float() @ text.float().mT


def build_prompt(cfg, clip: CLIPModel) -> tuple[nn.Module, Prompter]:
    """The prompt that MODEL.PROMPT asks for, and what turns names into its tokens.

    Raises:
        UsageError: the prompt is learned, but the text tower does not take token embeddings or is too short.
    """
    keys, name = cfg.MODEL.PROMPT, cfg.MODEL.CLIP.NAME
    if not keys.LEARNED:
        return FixedPrompt(), Prompter(name, keys.TEMPLATES, keys.SYNONYMS)
    if not is_plain_causal(clip):
        raise UsageError(
            f"MODEL.PROMPT.LEARNED is True, but the text tower of MODEL.CLIP.NAME = {name!r} takes no learned vectors; "
            "use a CLIP model of OpenAI's design, such as ViT-B-16-quickgelu."
        )
    positions, width = clip.positional_embedding.shape
    if keys.LENGTH > positions - 8:
        raise UsageError(
            f"MODEL.PROMPT.LENGTH = {keys.LENGTH} leaves no room for names in the {positions} positions of the text "
            f"tower; give at most {positions - 8}."
        )
    return LearnedPrompt(width, keys.LENGTH, keys.TRAINED), Prompter(name, NAME_AND_STOP, keys.SYNONYMS, keys.LENGTH)
