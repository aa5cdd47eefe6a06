"""From names to prompts to tokens: the vocabulary that a model segments.

Shapes: T names, N prompts (one or several a name), L tokens a prompt, D text dimension.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from .clip_config import model_config

logger = logging.getLogger(__name__)

CHUNK = 128  # prompts that go through the text tower at once where no gradient is kept


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The names that a model segments, tokenised.

    Attributes:
        names: T names as they were given, synonyms included.
        num_classes: K, the classes that CRM keeps at test.
        tokens: (N, L) token ids of all prompts.
        owner: (N,) the name that each prompt belongs to, ascending.
    """

    names: tuple[str, ...]
    num_classes: int
    tokens: Tensor
    owner: Tensor


class Prompter:
    """Turns names into prompts and tokens.

    Args:
        clip_name: ``MODEL.CLIP.NAME``, which decides the tokenizer.
        templates: prompts with ``{}`` where the name goes.
        synonyms: of comma-separated synonyms, use the "first" (the paper) or the "mean" of all their embeddings.

    Raises:
        UsageError: no template, a template without ``{}``, another word for ``synonyms``.
    """

    def __init__(self, clip_name: str, templates: Sequence[str], synonyms: str = "first"):
        templates = [templates] if isinstance(templates, str) else list(templates)
        if not templates:
            raise UsageError(
                "MODEL.PROMPT.TEMPLATES is empty; give at least one prompt, such as 'A photo of a {} in the scene'."
            )
        for template in templates:
            if template.count("{}") != 1:
                raise UsageError(
                    f"MODEL.PROMPT.TEMPLATES: the prompt {template!r} needs one '{{}}' where the name goes."
                )
        if synonyms not in ("first", "mean"):
            raise UsageError(f"MODEL.PROMPT.SYNONYMS = {synonyms!r}; give 'first' or 'mean'.")
        self.templates = templates
        self.synonyms = synonyms
        self.tokenizer = tokenizer_of(clip_name)

    def prompts(self, name: str) -> list[str]:
        """The prompts of one name."""
        synonyms = [part.strip() for part in name.split(",") if part.strip()]
        if self.synonyms == "first":
            synonyms = synonyms[:1]
        return [template.replace("{}", synonym) for synonym in synonyms for template in self.templates]

    def vocabulary(self, names: Sequence[str], num_classes: int | None = None) -> Vocabulary:
        """Check and tokenise the names.

        Args:
            names: T names; each may hold comma-separated synonyms.
            num_classes: K; None or 0 keeps all T.

        Raises:
            UsageError: no names, a blank one, something else than a string, a negative K.
        """
        if isinstance(names, str) or not len(names):
            raise UsageError(f"The vocabulary is {names!r}; give a list of at least one name.")
        for i, name in enumerate(names):
            if not isinstance(name, str) or not name.replace(",", " ").strip():
                raise UsageError(f"Name {i} of the vocabulary is {name!r}; every name needs at least one word.")
        if num_classes is not None and num_classes < 0:
            raise UsageError(f"num_classes = {num_classes} is negative; give K, the classes to keep, or 0 for all.")
        if num_classes and num_classes > len(names):
            _say_once("K = %d exceeds the %d names of the vocabulary: every class stays.", num_classes, len(names))
        prompts = [self.prompts(name) for name in names]
        _warn_of_equal_prompts(names, prompts)
        return Vocabulary(
            names=tuple(names),
            num_classes=min(num_classes or len(names), len(names)),
            tokens=self.tokenizer([prompt for group in prompts for prompt in group]),
            owner=torch.tensor([i for i, group in enumerate(prompts) for _ in group]),
        )


def tokenizer_of(clip_name: str) -> Callable[[list[str]], Tensor]:
    """The tokenizer of an open_clip model: prompts to (N, L) ids."""
    if clip_name.endswith(".json"):
        return open_clip.SimpleTokenizer(context_length=model_config(clip_name)["text_cfg"].get("context_length", 77))
    return open_clip.get_tokenizer(clip_name)


@lru_cache(maxsize=256)  # evaluation sets the same vocabularies again and again
def _say_once(message: str, *values: object) -> None:
    logger.warning(message, *values)


def _warn_of_equal_prompts(names: Sequence[str], prompts: list[list[str]]) -> None:
    """One warning that lists the names which give the same prompts: only one of each group can ever win."""
    count = Counter(tuple(group) for group in prompts)
    equal = {}
    for i, (name, group) in enumerate(zip(names, prompts, strict=True)):
        if count[tuple(group)] > 1:
            equal.setdefault(tuple(group), []).append(f"{i} ({name})")
    if equal:
        listed = "; ".join(" = ".join(members) for members in equal.values())
        _say_once(
            "%d names of the vocabulary give the same prompt as an earlier one, so that only one of each can win: %s",
            sum(len(members) - 1 for members in equal.values()),
            listed,
        )


def embed_vocabulary(vocabulary: Vocabulary, encode_text: Callable[[Tensor], Tensor]) -> Tensor:
    """The text embeddings of a vocabulary: (T, D), of unit length.

    Embeddings of several prompts of a name are averaged; equal prompts are encoded once. Gradients flow where the
    caller keeps them; where none are kept, prompts pass in chunks of similar length, and memory does not grow with T.

    Args:
        vocabulary: the names.
        encode_text: (N, L) ids -> (N, D) of unit length.
    """
    tokens, place = vocabulary.tokens.unique(dim=0, return_inverse=True)
    if not torch.is_grad_enabled():
        order = tokens.argmax(dim=1).argsort()  # by the place of EOT, the highest id
        tokens, place = tokens[order], order.argsort()[place]
    parts = [tokens] if torch.is_grad_enabled() else tokens.split(CHUNK)
    embeddings = torch.cat([encode_text(part) for part in parts])
    embeddings = embeddings[place.to(embeddings.device)]
    if len(embeddings) == len(vocabulary.names):
        return embeddings
    total = embeddings.new_zeros(len(vocabulary.names), embeddings.shape[1])
    return F.normalize(total.index_add(0, vocabulary.owner.to(embeddings.device), embeddings), dim=-1)
