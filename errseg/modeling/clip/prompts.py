"""Names -> prompts -> tokens.

Shapes: T names, P templates, N prompts (one or several per name), L tokens per prompt.
"""

import copy
import hashlib
import logging
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ...errors import ArgumentError, UsageError
from ..num_kept import AutoKept, NumKept, same_for_all
from .config import model_config
from .libraries import open_clip
from .templates import templates_of
from .text_cache import MANY, cached_tokens

logger = logging.getLogger(__name__)

SLOW = 5000  # prompts whose tokens take about a second
# Published label sets in which several classes have equal names. By the paper's rule, one of these classes wins every
# pixel. The values are the number of names and a digest.
PUBLISHED = {"A-847": (847, "ee311c5f3b780a16a58f40726927f6c4")}


@dataclass(frozen=True, eq=False)
class TokenizedNames:
    """The names that a model segments, tokenised.

    Attributes:
        names: T names as they were given, synonyms included.
        num_kept: K, the number of names that are kept for each image at test, or what gives each image its own.
        tokens: (N, L) token ids of all prompts.
        owner: (N,) index of the name of each prompt, ascending.
        num_templates: P. Prompt i has template i % P.
        apart: a name has an embedding for each template; False: one, the mean over its prompts.
    """

    names: tuple[str, ...]
    num_kept: NumKept
    tokens: Tensor
    owner: Tensor
    num_templates: int = 1
    apart: bool = False

    @property
    def template(self) -> Tensor:
        """(N,) index of the template of each prompt."""
        return torch.arange(len(self.tokens)) % self.num_templates


class Prompter:
    """Turns names into prompts and tokens.

    Args:
        clip_name: a model name of open_clip or a model configuration, which decides the tokenizer.
        templates: prompts with ``{}`` where the name goes; or names of sets of templates, "imagenet" and "vild".
        synonyms: for comma-separated synonyms, use the "first" (ERR-Seg), the "mean" of all their embeddings, or the
            "whole" name with its commas (DeOP).
        reserved: positions of the text tower that are not for the tokens of prompts, such as those of learned vectors.
        separator: what stands between synonyms.
        apart: give a name an embedding for each template (SED), in place of the mean over all.

    Raises:
        ArgumentError: there is no template; a template has no ``{}`` or several; or ``synonyms`` has another value.
    """

    def __init__(
        self,
        clip_name: str,
        templates: Sequence[str],
        synonyms: str = "first",
        reserved: int = 0,
        separator: str = ",",
        apart: bool = False,
    ):
        templates = templates_of(templates)
        if not templates:
            raise ArgumentError(
                "{templates} is empty; give at least one prompt, such as 'A photo of a {} in the scene'."
            )
        for template in templates:
            if template.count("{}") != 1:
                raise ArgumentError("{templates}: the prompt %r needs one '{}' where the name goes.", template)
        if synonyms not in ("first", "mean", "whole"):
            raise ArgumentError("{synonyms} = %r; give 'first', 'mean' or 'whole'.", synonyms)
        self.templates = templates
        self.synonyms = synonyms
        self.reserved = reserved
        self.separator = separator
        self.apart = apart
        self.tokenizer: Any = tokenizer_of(clip_name)

    def prompts(self, name: str) -> list[str]:
        """The prompts of one name: all templates of its first synonym, then those of the next one."""
        parts = [name] if self.synonyms == "whole" else name.split(self.separator)
        synonyms = [part.strip() for part in parts if part.strip()]
        if self.synonyms == "first":
            synonyms = synonyms[:1]
        return [template.replace("{}", synonym) for synonym in synonyms for template in self.templates]

    def tokenize(self, names: Sequence[str], num_kept: NumKept | None = None) -> TokenizedNames:
        """Check and tokenise the names.

        Args:
            names: T names; each may hold comma-separated synonyms.
            num_kept: K; None or 0 keeps all T.

        Raises:
            UsageError: there are no names; a name is blank or no string; K is negative; a prompt is too long for the
                text tower, or holds its end token; or two names give the same tokens (allowed within a published label
                set).
        """
        num_kept = check_names(names, num_kept)
        if len(names) < MANY or type(self.tokenizer) is not open_clip.SimpleTokenizer:
            tokens, owner, _ = self._checked_tokens(names)
        else:
            others = (open_clip.__version__, self.synonyms, self.separator, str(self.reserved), *self.templates)
            length = self.tokenizer.context_length
            tokens, owner = cached_tokens(names, others, lambda: self._checked_tokens(names), length)
        return TokenizedNames(tuple(names), num_kept, tokens, owner, len(self.templates), self.apart)

    def _checked_tokens(self, names: Sequence[str]) -> tuple[Tensor, Tensor, bool]:
        """(N, L) tokens, (N,) owner, and whether all names differ; raises what ``tokenize`` does."""
        prompts = [self.prompts(name) for name in names]
        tokens = self._tokens([prompt for group in prompts for prompt in group])
        owner = torch.tensor([i for i, group in enumerate(prompts) for _ in group])
        self._check_lengths(names, prompts, tokens, owner)
        ends = (tokens == tokens.max()).sum(dim=1)  # EOT has the highest id
        if (ends > 1).any():
            name = reprlib.repr(names[int(owner[ends.argmax()])])
            raise UsageError(f"The name {name} holds the token that ends a prompt; the rest would be lost: remove it.")
        return tokens, owner, _check_different(names, tokens, owner, self.synonyms)

    def _tokens(self, prompts: list[str]) -> Tensor:
        """(N, L) tokens; a bar shows the progress of many prompts in a terminal."""
        if len(prompts) < SLOW:
            return self.tokenizer(prompts)
        with tqdm(total=len(prompts), desc="Reading prompts", unit="prompt", disable=None) as bar:
            parts = []
            for start in range(0, len(prompts), SLOW):
                parts.append(self.tokenizer(prompts[start : start + SLOW]))
                bar.update(len(parts[-1]))
        return torch.cat(parts)

    def _check_lengths(self, names: Sequence[str], prompts: list[list[str]], tokens: Tensor, owner: Tensor) -> None:
        """Raise UsageError if a prompt has more tokens than the text tower has positions for them."""
        longest = tokens.shape[1] - self.reserved
        for i in owner[tokens[:, longest - 1 :].any(dim=1)].unique().tolist():  # padding is 0
            length = max(len(self.tokenizer.encode(prompt)) + 2 for prompt in prompts[i])
            if length > longest:
                raise UsageError(
                    f"The name {reprlib.repr(names[i])} gives a prompt of {length} tokens, and the text tower reads "
                    f"{longest}; shorten it."
                )


def check_names(names: Sequence[str], num_kept: NumKept | None = None) -> NumKept:
    """Check what every system asks of names.

    Args:
        names: T names.
        num_kept: K; None or 0 keeps all T.

    Returns:
        K, from 1 to T; an ``AutoKept`` as it is.

    Raises:
        UsageError: no names, a blank one, something else than a string, or a negative K.
    """
    if isinstance(names, str) or not len(names):
        raise UsageError(f"The vocabulary is {names!r}; give a list of at least one name.")
    for i, name in enumerate(names):
        if not isinstance(name, str) or not name.replace(",", " ").strip():
            raise UsageError(f"Name {i} of the vocabulary is {name!r}; every name needs at least one word.")
    if isinstance(num_kept, AutoKept):
        return num_kept
    if num_kept is not None and num_kept < 0:
        raise UsageError(f"num_classes = {num_kept} is negative; give K, the names to keep, or 0 for all.")
    if num_kept and num_kept > len(names):
        _say_once("K = %d exceeds the %d names of the vocabulary: every name stays.", num_kept, len(names))
    return same_for_all(num_kept or 0, len(names))


def tokenizer_of(clip_name: str) -> Callable[[list[str]], Tensor]:
    """The tokenizer of an open_clip model: prompts to (N, L) ids."""
    is_file = clip_name.endswith(".json")
    tokenizer = copy.copy(_shared_tokenizer("" if is_file else clip_name))
    if is_file:
        tokenizer.context_length = model_config(clip_name)["text_cfg"].get("context_length", 77)
    if hasattr(tokenizer, "cache"):  # of words
        tokenizer.cache = dict(tokenizer.cache)
    return tokenizer


@lru_cache(maxsize=2)
def _shared_tokenizer(clip_name: str) -> Any:
    """A tokenizer of open_clip, for copies only. Its tables take longer to read than a small model takes to build."""
    return open_clip.get_tokenizer(clip_name) if clip_name else open_clip.SimpleTokenizer()


@lru_cache(maxsize=256)  # evaluation sets the same vocabularies repeatedly
def _say_once(message: str, *values: object) -> None:
    logger.warning(message, *values)


def _check_different(names: Sequence[str], tokens: Tensor, owner: Tensor, synonyms: str) -> bool:
    """Refuse names with equal tokens: their embeddings are equal, so that only one of the names could win a pixel.

    Within a published label set, they give a warning.

    Returns:
        Whether all names differ.

    Raises:
        UsageError: there are such names outside a published label set.
    """
    place = tokens.unique(dim=0, return_inverse=True)[1].tolist()  # the same number for equal prompts
    prompts: list[list[int]] = [[] for _ in names]
    for i, number in zip(owner.tolist(), place, strict=True):
        prompts[i].append(number)
    equal: dict[tuple[int, ...], list[int]] = {}
    for i, numbers in enumerate(prompts):
        equal.setdefault(tuple(sorted(numbers)), []).append(i)  # sorted: a mean does not depend on the order
    groups = [ids for ids in equal.values() if len(ids) > 1]
    if not groups:
        return True
    published = _published(names)
    for ids in groups:
        first, later = ids[0], ids[-1]
        if later >= published:
            aside = "case and text after the first comma do not count" if synonyms == "first" else "case does not count"
            one, other = reprlib.repr(names[first]), reprlib.repr(names[later])
            raise UsageError(
                f"The names {one} (id {first}) and {other} (id {later}) are the same to the model ({aside}); give one "
                "another name."
            )
    _say_once(
        "%d names of the vocabulary give the same prompt as an earlier one, so that only one of each can win: %s",
        sum(len(ids) - 1 for ids in groups),
        "; ".join(" = ".join(f"{i} ({names[i]})" for i in ids) for ids in groups),
    )
    return False


def _published(names: Sequence[str]) -> int:
    """The number of names, from the first on, that form a published label set with equal names; 0 where none do."""
    for count, digest in PUBLISHED.values():
        if len(names) >= count and digest == digest_of(names[:count]):
            return count
    return 0


def digest_of(names: Sequence[str]) -> str:
    """A digest of names in their order."""
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogatepass")).hexdigest()[:32]
