"""Tokens -> text embeddings.

Shapes: T names, P templates, N prompts (one or several per name), L tokens per prompt, D text dimension.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from .prompts import TokenizedNames
from .text_cache import MANY, TextCache

__all__ = ["embed_names"]

CHUNK = 128  # prompts that the text tower encodes at once where no gradient is kept


def embed_names(
    tokenized: TokenizedNames, encode_text: Callable[[Tensor], Tensor], cache: TextCache | None = None
) -> Tensor:
    """The text embeddings of names: (T, D), of unit length; (T, P, D) where templates are kept apart.

    The embeddings of several prompts of a name are averaged; where templates are kept apart, those of one template.
    Equal prompts are encoded once. Without gradients, prompts are encoded in chunks of one template and similar
    lengths, so that the memory of the text tower does not grow with T and the prompts of a chunk begin alike.

    Args:
        tokenized: the names.
        encode_text: (N, L) ids -> (N, D) of unit length.
        cache: where the embeddings of many prompts are kept; not for gradients.
    """
    embeddings = _embed_prompts(tokenized, encode_text, cache)
    rows = tokenized.num_templates if tokenized.apart else 1  # of a name
    row = tokenized.owner * rows + (tokenized.template if tokenized.apart else 0)
    if len(embeddings) != len(tokenized.names) * rows:
        total = embeddings.new_zeros(len(tokenized.names) * rows, embeddings.shape[1])
        embeddings = F.normalize(total.index_add(0, row.to(embeddings.device), embeddings), dim=-1)
    return embeddings.unflatten(0, (-1, rows)) if tokenized.apart else embeddings


def _embed_prompts(
    tokenized: TokenizedNames, encode_text: Callable[[Tensor], Tensor], cache: TextCache | None
) -> Tensor:
    """The embeddings of the prompts, (N, D); see ``embed_names``."""
    tokens, template = tokenized.tokens, tokenized.template

    def encode(some: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        parts = _in_chunks(tokens[some], template[some])
        return ((some[part], encode_text(tokens[some[part]])) for part in _with_progress(parts, len(some)))

    if cache is not None and not torch.is_grad_enabled():
        kept = cache.embed(tokens, encode)
        if kept is not None:
            return kept
    tokens, place = tokens.unique(dim=0, return_inverse=True)
    if torch.is_grad_enabled():
        embeddings = encode_text(tokens)
    else:
        template = torch.zeros(len(tokens), dtype=torch.long).scatter_(0, place, template)
        parts = list(encode(torch.arange(len(tokens))))
        place = torch.cat([part for part, _ in parts]).argsort()[place]
        embeddings = torch.cat([embeddings for _, embeddings in parts])
    return embeddings[place.to(embeddings.device)]


def _in_chunks(tokens: Tensor, template: Tensor) -> list[Tensor]:
    """The indices of prompts (N, L), in parts of one template and similar lengths."""
    length = tokens.argmax(dim=1)  # the position of EOT, which has the highest id
    order = (template * tokens.shape[1] + length).argsort()
    of_template = order.split(template.bincount().tolist())
    return [part for group in of_template if len(group) for part in group.split(CHUNK)]


def _with_progress(parts: list[Tensor], count: int) -> Iterator[Tensor]:
    """The parts; a bar shows the progress of many prompts in a terminal."""
    with tqdm(total=count, desc="Encoding names", unit="prompt", disable=None if count >= MANY else True) as bar:
        for part in parts:
            yield part
            bar.update(len(part))
